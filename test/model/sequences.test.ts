import { expect, test } from "vitest";
import { bucketLength, packRows, takeRows } from "../../src/model/sequences.ts";

test("lengths come in few sizes", () => {
  expect([1, 8, 9, 16, 17, 25, 33, 49, 65, 97, 1000].map(bucketLength)).toEqual([
    8, 8, 16, 16, 24, 32, 48, 64, 96, 128, 1024,
  ]);
});

test("prompts end where completions begin", () => {
  const rows = packRows([[1], [2, 3, 4]], [[5, 6], [7]], {
    promptLength: 3,
    completionLength: 2,
    padTokenId: 9,
  });
  expect(Array.from(rows.tokens)).toEqual([9, 9, 1, 5, 6, 2, 3, 4, 7, 9]);
  expect(Array.from(rows.starts)).toEqual([2, 0]);
  expect(Array.from(rows.completionMask)).toEqual([1, 1, 1, 0]);
  const taken = takeRows(rows, [1, -1]);
  expect(Array.from(taken.tokens)).toEqual([2, 3, 4, 7, 9, 0, 0, 0, 0, 0]);
  expect(Array.from(taken.completionMask)).toEqual([1, 0, 0, 0]);
});

test("what does not fit is named", () => {
  expect(() => packRows([[1]], [])).toThrow(/a completion for each prompt/);
  expect(() => packRows([[]], [[1]])).toThrow(/BOS/);
  expect(() => packRows([[1, 2]], [[1]], { promptLength: 1 })).toThrow(/Raise promptLength/);
  expect(() => packRows([[1]], [[1, 2]], { completionLength: 1 })).toThrow(/Raise completionLength/);
});
