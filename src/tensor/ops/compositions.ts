/** Functions of `ops` that are made of primitives, and what to say to who takes one for an op of the table. */
import type { OpFunction } from "../opdef.ts";
import { didYouMean, nearest } from "../suggest.ts";
import { ops } from "./index.ts";

/** Names of the functions of `ops` that are no primitive, in order. */
export function compositions(): string[] {
  return Object.entries<object>(ops)
    .filter(([, call]) => !(call as Partial<OpFunction>).op)
    .map(([name]) => name)
    .sort();
}

/**
 * The end of a message, after "got": a word that is none of `known`, with what is near, or all that is known. A composition, or
 * what is near one, is told apart, with `instead` as the remedy.
 */
export function notAnOp(word: string, known: readonly string[], instead: string): string {
  const made = compositions();
  const { op } = (ops as Readonly<Record<string, Partial<OpFunction>>>)[word] ?? {};
  if (op) return `"${word}". Did you mean "${op.name}"?`;
  const near = nearest(word, [...known, ...made]) ?? "";
  if (!made.includes(near)) return `"${word}". ${didYouMean(word, known, Number.POSITIVE_INFINITY)}`;
  const slip = near.toLowerCase() !== word.toLowerCase();
  return `${slip ? `"${word}". Did you mean "${near}"? It` : `${near}, which`} is made of other ops. ${instead}`;
}
