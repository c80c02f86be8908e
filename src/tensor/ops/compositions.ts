/** Which functions of `ops` are primitives and which are made of them, and what to say to who takes one for an op of the table. */
import type { OpDef, OpFunction } from "../opdef.ts";
import { didYouMean, nearest } from "../suggest.ts";
import { ops } from "./index.ts";

const FUNCTIONS = Object.entries<object>(ops).map(([name, call]) => ({
  name,
  op: (call as Partial<OpFunction>).op,
}));

/** Names of the functions of `ops` that are no primitive, in order. */
export function compositions(): string[] {
  return FUNCTIONS.flatMap(({ name, op }) => (op ? [] : [name])).sort();
}

/**
 * The end of a message, after "got": a word that is none of `known`, with what is near, or all that is known. A composition, or
 * what is near one, is told apart, with `instead` as the remedy.
 */
export function notAnOp(word: string, known: readonly string[], instead: string): string {
  const made = compositions();
  const op = FUNCTIONS.find(({ name }) => name === word)?.op;
  if (op && op.name !== word) return `"${word}". Did you mean "${op.name}"?`;
  const near = nearest(word, [...known, ...made]) ?? "";
  if (!made.includes(near)) return `"${word}". ${didYouMean(word, known, Number.POSITIVE_INFINITY)}`;
  const slip = near.toLowerCase() !== word.toLowerCase();
  return `${slip ? `"${word}". Did you mean "${near}"? It` : `${near}, which`} is made of other ops. ${instead}`;
}

/** Name of the function of `ops` that is a primitive, null where there is none. */
export function callOf(op: OpDef): string | null {
  return FUNCTIONS.find((call) => call.op === op)?.name ?? null;
}
