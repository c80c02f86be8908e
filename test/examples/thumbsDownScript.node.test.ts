/** `examples/thumbs-down.ts`, run as it stands: rejections alone make what is rejected rarer, and names stay names. */
import { expect, test } from "vitest";

test("what is rejected becomes rarer by the policy's own probabilities", async () => {
  const { before, after, names } = await import("../../examples/thumbs-down.ts");
  expect(before).toBeGreaterThan(0.4);
  expect(after).toBeLessThan(0.7 * before);
  // It has not fallen apart: different names, made of letters, of a name's length.
  expect(new Set(names).size).toBeGreaterThan(20);
  const like = names.filter((name) => /^\p{L}{3,11}$/u.test(name));
  expect(like.length).toBeGreaterThan(24);
}, 300_000);
