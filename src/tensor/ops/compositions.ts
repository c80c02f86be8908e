/** Which functions of `ops` are primitives and which are made of them, and what to say to who takes one for an op of the table. */
import type { OpDef, OpFunction } from "../opdef.ts";
import { didYouMean, nearest } from "../suggest.ts";
import { ops } from "./index.ts";

const functions: Readonly<Record<string, object>> = ops;
const opOf = (name: string): OpDef | undefined => (functions[name] as Partial<OpFunction>).op;

/** Names of the functions of `ops` that are no primitive. */
export function compositions(): string[] {
  return Object.keys(functions).filter((name) => !opOf(name));
}

/** Name of the function of `ops` that is a primitive, null where there is none. */
export function callOf(op: OpDef): string | null {
  return Object.keys(functions).find((name) => opOf(name) === op) ?? null;
}

/**
 * The end of a message, after "got": a word that is none of `known`, with what is near, or all that is known. What is, or is
 * near, a composition is told apart.
 */
export function notAnOp(word: string, known: readonly string[]): string {
  const near = nearest(word, [...known, ...compositions()]);
  const told =
    near === undefined || known.includes(near)
      ? didYouMean(word, known, known.length)
      : `${near} is made of other ops: name those.`;
  return `"${word}". ${told}`;
}
