/** An independent checker of Countdown's expressions, on text. */

/**
 * All values an expression's text can take by splitting at its last operator of lowest
 * precedence, recursively. Returns undefined for anything that is not an expression.
 */
export function brute(symbols: string[]): { value: number; numbers: number[] } | undefined {
  if (symbols.length === 0) return undefined;
  if (symbols.length === 1) {
    return /^\d+$/.test(symbols[0])
      ? { value: Number(symbols[0]), numbers: [Number(symbols[0])] }
      : undefined;
  }
  for (const operators of [["+", "-"], ["*"]]) {
    let depth = 0;
    for (let i = symbols.length - 1; i >= 1; i--) {
      if (symbols[i] === ")") depth++;
      if (symbols[i] === "(") depth--;
      if (depth !== 0 || !operators.includes(symbols[i])) continue;
      const left = brute(symbols.slice(0, i));
      // a sign may stand only at the head of a sum: never right of an operator
      const right = symbols[i + 1] === "-" ? undefined : brute(symbols.slice(i + 1));
      if (!left || !right) return undefined;
      const numbers = [...left.numbers, ...right.numbers];
      if (symbols[i] === "+") return { value: left.value + right.value, numbers };
      if (symbols[i] === "-") return { value: left.value - right.value, numbers };
      return { value: left.value * right.value, numbers };
    }
  }
  if (symbols[0] === "-") {
    const inner = symbols[1] === "-" ? undefined : brute(symbols.slice(1));
    return inner && { value: -inner.value, numbers: inner.numbers };
  }
  if (symbols[0] === "(" && symbols[symbols.length - 1] === ")" && symbols.length > 3) {
    return brute(symbols.slice(1, -1));
  }
  return undefined;
}

/** Whether the text is an expression of just these numbers with this value. */
export function bruteVerdict(numbers: readonly number[], target: number, text: string): boolean {
  const result = brute(text.split(" ").filter(Boolean));
  const sort = (list: readonly number[]) => [...list].sort((a, b) => a - b).join();
  return result !== undefined && result.value === target && sort(result.numbers) === sort(numbers);
}
