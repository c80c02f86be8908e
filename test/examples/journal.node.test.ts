/** The journal of the thumbs-down app: what it wrote is read again, and what somebody else wrote is refused. */
import { expect, test } from "vitest";
import { fromBytes, type Journal, newJournal, toBytes } from "../../examples/thumbs-down-app/src/journal.ts";

const signs = { drawn: 64, distinct: 60, likeNames: 58, entropy: 8.4 };
const whole: Journal = {
  ...newJournal(7),
  round: 3,
  weights: "thumbs-down-1.safetensors",
  rejected: [{ name: "orford", tokens: [2, 3, 4], atStart: -8, before: -8, after: -9, now: -9.5 }],
  points: [{ update: 1, thumbs: 2, atStart: 0.002, now: 0.001 }],
  signs: { atStart: signs, now: signs },
};
const image = "<img src=x onerror=alert(1)>";

test("what was written is read", () => {
  for (const journal of [newJournal(1), whole]) expect(fromBytes(toBytes(journal))).toEqual(journal);
});

test.each([
  [{ weights: null }, /^journal\.seed: a whole number expected, got undefined\.$/],
  [null, /^journal: an object expected, got null\.$/],
  [[], /^journal\.seed/],
  [{ ...whole, weights: "runs/quick/nsr.safetensors" }, /^journal\.weights: one of/],
  [{ ...whole, points: [{ ...whole.points[0], update: image }] }, /^journal\.points\[0\]\.update: a whole/],
  [{ ...whole, points: [{ ...whole.points[0], now: null }] }, /^journal\.points\[0\]\.now: a finite/],
  [{ ...whole, points: { length: 1 } }, /^journal\.points: at most/],
  [
    { ...whole, rejected: [{ ...whole.rejected[0], name: "x".repeat(101) }] },
    /rejected\[0\]\.name: at most 100/,
  ],
  [{ ...whole, rejected: [{ ...whole.rejected[0], tokens: [0.5] }] }, /rejected\[0\]\.tokens\[0\]/],
  [{ ...whole, signs: { atStart: null, now: { ...signs, drawn: image } } }, /^journal\.signs\.now\.drawn/],
  [{ ...whole, signs: undefined }, /^journal\.signs: an object expected/],
])("%.60j is refused", (value, message) => {
  expect(() => fromBytes(new TextEncoder().encode(JSON.stringify(value)))).toThrow(message);
});

test("fields of no meaning are left out", () => {
  const given = JSON.stringify({ ...whole, more: image });
  expect(fromBytes(new TextEncoder().encode(given))).toEqual(whole);
});
