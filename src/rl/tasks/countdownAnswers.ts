/**
 * Every right answer of a Countdown problem: all token sequences of the grammar in `expression.ts` that use each number
 * once, have the target's value and leave room for EOS. The search writes token by token and never leaves the grammar.
 */

import { type ExpressionToken, evaluate, type Operator } from "./expression.ts";

const OPERATORS: readonly Operator[] = ["+", "-", "*"];

/** Right answers of at most `maxTokens` tokens, each once. */
export function* rightAnswers(
  numbers: readonly number[],
  target: number,
  maxTokens: number,
): Generator<ExpressionToken[]> {
  const left = new Map<number, number>();
  for (const number of numbers) left.set(number, (left.get(number) ?? 0) + 1);
  const values = [...left.keys()].sort((a, b) => a - b);
  const tokens: ExpressionToken[] = [];
  const opened: number[] = [];
  let unused = numbers.length;

  /** Fewest tokens that finish what is written. */
  const needed = (operandNext: boolean): number => opened.length + 2 * unused - (operandNext ? 1 : 0);

  function* operand(): Generator<ExpressionToken[]> {
    if (tokens.length + needed(true) > maxTokens) return;
    const previous = tokens[tokens.length - 1];
    for (const value of values) {
      const many = left.get(value)!;
      if (many === 0) continue;
      left.set(value, many - 1);
      unused--;
      tokens.push(value);
      yield* operator();
      tokens.pop();
      unused++;
      left.set(value, many);
    }
    if (unused > 0) {
      opened.push(tokens.length);
      tokens.push("(");
      yield* operand();
      tokens.pop();
      opened.pop();
    }
    // A sign stands only at the head of a sum.
    if (previous === undefined || previous === "(") {
      tokens.push("-");
      yield* operand();
      tokens.pop();
    }
  }

  function* operator(): Generator<ExpressionToken[]> {
    if (tokens.length + needed(false) > maxTokens) return;
    if (unused === 0 && opened.length === 0 && evaluate(tokens)?.value === target) yield [...tokens];
    if (unused > 0) {
      for (const sign of OPERATORS) {
        tokens.push(sign);
        yield* operand();
        tokens.pop();
      }
    }
    const from = opened.pop();
    if (from === undefined) return;
    if (tokens.length - from > 2) {
      tokens.push(")");
      yield* operator();
      tokens.pop();
    }
    opened.push(from);
  }

  yield* operand();
}
