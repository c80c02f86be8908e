/**
 * The ways to write an answer of Countdown: where the parentheses and the sign stand. w x y z are the numbers in any
 * order, f g h operators.
 *
 *     flat     w f x g y h z          left     ( w f x ) g y h z       right   w f x g ( y h z )
 *     negated  - w f x g y h z        pairs    ( w f x ) g ( y h z )   (four numbers only)
 *
 * A form gives both its tokens and, without them, its value: problems are listed from values, hundreds of thousands at
 * a time; tokens are made for the few answers that someone asks for.
 */

import type { ExpressionToken, Operator } from "./expression.ts";

/** The modes of three numbers; four have `pairs` more. */
export const countdownModes = ["flat", "left", "right", "negated"] as const;
export type CountdownMode = (typeof countdownModes)[number] | "pairs";

export interface Form {
  readonly mode: CountdownMode;
  readonly negative: boolean;
  /** Index of the first number of each parenthesised pair, ascending. */
  readonly pairs: readonly number[];
}

/** The forms of `count` numbers, in the order of the mode weights. */
export function formsOf(count: number): Form[] {
  const forms: Form[] = [
    { mode: "flat", negative: false, pairs: [] },
    { mode: "left", negative: false, pairs: [0] },
    { mode: "right", negative: false, pairs: [count - 2] },
    { mode: "negated", negative: true, pairs: [] },
  ];
  if (count > 3) forms.push({ mode: "pairs", negative: false, pairs: [0, 2] });
  return forms;
}

/** The expression of a form. */
export function write(
  { negative, pairs }: Form,
  numbers: readonly number[],
  operators: readonly Operator[],
): ExpressionToken[] {
  const tokens: ExpressionToken[] = negative ? ["-"] : [];
  for (let i = 0; i < numbers.length; i++) {
    if (i > 0) tokens.push(operators[i - 1]);
    if (pairs.includes(i)) tokens.push("(");
    tokens.push(numbers[i]);
    if (pairs.includes(i - 1)) tokens.push(")");
  }
  return tokens;
}

function apply(a: number, operator: Operator, b: number): number {
  return operator === "+" ? a + b : operator === "-" ? a - b : a * b;
}

/** The value of a form, as `evaluate` gives it for the form's tokens. */
export function formValue(
  { negative, pairs }: Form,
  numbers: readonly number[],
  operators: readonly Operator[],
): number {
  let sum = 0;
  let product = 0;
  let at = 0;
  while (at < numbers.length) {
    const operator: Operator = at > 0 ? operators[at - 1] : negative ? "-" : "+";
    let value = numbers[at++];
    if (pairs.includes(at - 1)) value = apply(value, operators[at - 1], numbers[at++]);
    if (operator === "*") product *= value;
    else {
      sum += product;
      product = operator === "-" ? -value : value;
    }
  }
  return sum + product;
}

/** What an expression looks like when numbers and operators are all alike: `(non)on`. */
function shape(tokens: readonly ExpressionToken[]): string {
  return tokens
    .map((token, i) => {
      if (typeof token === "number") return "n";
      return token === "(" || token === ")" || i === 0 ? token : "o";
    })
    .join("");
}

/** The mode of the form that an expression of as many numbers is written in, or null. */
export function formOf(forms: readonly Form[], tokens: readonly ExpressionToken[]): CountdownMode | null {
  const numbers = tokens.filter((token) => typeof token === "number");
  const operators = numbers.slice(1).map((): Operator => "+");
  const found = forms.find((form) => shape(write(form, numbers, operators)) === shape(tokens));
  return found?.mode ?? null;
}

/** The orders of numbers, each distinct one once, lexicographically by position. */
export function orders(numbers: readonly number[]): number[][] {
  if (numbers.length < 2) return [[...numbers]];
  const found = new Map<string, number[]>();
  for (let i = 0; i < numbers.length; i++) {
    for (const rest of orders([...numbers.slice(0, i), ...numbers.slice(i + 1)])) {
      const order = [numbers[i], ...rest];
      const name = order.join();
      if (!found.has(name)) found.set(name, order);
    }
  }
  return [...found.values()];
}

/** All tuples of `length` operators, the last changing fastest. */
export function operatorTuples(operators: readonly Operator[], length: number): Operator[][] {
  if (length === 0) return [[]];
  return operators.flatMap((first) =>
    operatorTuples(operators, length - 1).map((rest): Operator[] => [first, ...rest]),
  );
}

/** Ascending tuples of `count` integers in [low, high], lexicographically. */
export function* multisets(low: number, high: number, count: number): Generator<number[]> {
  if (count === 0) {
    yield [];
    return;
  }
  for (let first = low; first <= high; first++) {
    for (const rest of multisets(first, high, count - 1)) yield [first, ...rest];
  }
}

/** How many tuples `multisets` gives: C(n + count - 1, count) of n values. */
export function multisetCount(values: number, count: number): number {
  let ways = 1;
  for (let i = 1; i <= count; i++) ways = (ways * (values + i - 1)) / i;
  return ways;
}
