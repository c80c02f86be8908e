/** `examples/own-loss.ts`, run as it stands: a loss of one's own goes down from what its formula says. */
import { expect, test } from "vitest";

test("DPO begins at log 2, goes down, and new pairs are told apart", async () => {
  const { losses, right } = await import("../../examples/own-loss.ts");
  expect(losses[0]).toBeCloseTo(Math.LN2, 6);
  expect(losses.at(-1)).toBeLessThan(0.6);
  expect(right).toBeGreaterThan(0.95);
}, 300_000);
