/** The version that records name is the package's. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { VERSION } from "../../src/tensor/version.ts";
import { root } from "../helpers/sourceFiles.ts";

test("VERSION is package.json's", () => {
  expect(VERSION).toBe(JSON.parse(readFileSync(join(root, "package.json"), "utf8")).version);
});
