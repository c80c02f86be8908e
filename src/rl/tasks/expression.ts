/**
 * Arithmetic over small integers as a sequence of symbols: + - * with the usual precedence, left associative,
 * parentheses around at least one operation, and a minus sign before the first term.
 *
 *     sum    = ["-"] product { ("+" | "-") product }
 *     product = atom { "*" atom }
 *     atom   = number | "(" sum ")"
 */

export type Operator = "+" | "-" | "*";
export type ExpressionToken = number | Operator | "(" | ")";

export interface Evaluated {
  value: number;
  /** Every number in the order of writing. */
  numbers: number[];
}

/** The value of the expression and its numbers, or undefined where the form is wrong. */
export function evaluate(tokens: readonly ExpressionToken[]): Evaluated | undefined {
  const numbers: number[] = [];
  let at = 0;

  function atom(): number {
    const token = tokens[at++];
    if (typeof token === "number") {
      numbers.push(token);
      return token;
    }
    if (token !== "(") return Number.NaN;
    const start = at;
    const value = sum();
    const single = at - start === 1; // "( 3 )"
    return tokens[at++] === ")" && !single ? value : Number.NaN;
  }

  function product(): number {
    let value = atom();
    while (tokens[at] === "*" && !Number.isNaN(value)) {
      at++;
      value *= atom();
    }
    return value;
  }

  function sum(): number {
    const negative = tokens[at] === "-";
    if (negative) at++;
    let value = negative ? -product() : product();
    while ((tokens[at] === "+" || tokens[at] === "-") && !Number.isNaN(value)) {
      value += tokens[at++] === "+" ? product() : -product();
    }
    return value;
  }

  const value = sum();
  if (at !== tokens.length || Number.isNaN(value)) return undefined;
  return { value: value === 0 ? 0 : value, numbers }; // no -0
}
