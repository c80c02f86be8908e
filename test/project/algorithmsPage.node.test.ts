/** docs/algorithms.md is what the code says: every algorithm, its source, and the line where it stands. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ALGORITHMS } from "../../src/rl/algorithms.ts";
import { root } from "../helpers/sourceFiles.ts";

test("the page is up to date: npm run docs:algorithms writes it", async () => {
  // @ts-expect-error a script without types
  const { algorithmsPage } = await import("../../scripts/algorithmsPage.mjs");
  expect(readFileSync(join(root, "docs/algorithms.md"), "utf8")).toBe(algorithmsPage(ALGORITHMS));
});
