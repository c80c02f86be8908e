/** `examples/own-task.ts`, run as it stands: a task of one's own in under 20 lines is learned. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { root } from "../helpers/sourceFiles.ts";

test("the definition has under 20 lines, its answers among them", () => {
  const text = readFileSync(join(root, "examples/own-task.ts"), "utf8");
  // With the line before it that it needs.
  const [definition] = /^const numbers = [\s\S]*?^\}\);$/m.exec(text)!;
  expect(definition).toContain("defineTask({");
  expect(definition).toContain("answers:");
  expect(definition.split("\n").length).toBeLessThan(20);
});

test("held-out prompts are answered better: an interval of the gain above 0", async () => {
  const { before, after, gain } = await import("../../examples/own-task.ts");
  expect(before).toHaveLength(after.length);
  expect(after.length).toBeGreaterThan(15);
  // The base writes any number: it is right as often as chance.
  expect(gain.low).toBeGreaterThan(0);
  expect(gain.mean).toBeGreaterThan(0.05);
  // Exact probabilities, and no shares of so many samples.
  for (const p of [...before, ...after]) {
    expect(p).toBeGreaterThan(0);
    expect(p).toBeLessThan(1);
    expect(Number.isInteger(p * 128)).toBe(false);
  }
}, 300_000);
