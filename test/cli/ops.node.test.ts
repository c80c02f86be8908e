/** `naysay ops` and the page that it writes. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { opsMarkdown } from "../../src/cli/ops.ts";
import { compositions } from "../../src/tensor/ops/compositions.ts";
import { allOps } from "../../src/tensor/ops/table.ts";
import { naysay } from "../helpers/command.ts";
import { root } from "../helpers/sourceFiles.ts";

test("naysay ops --json lists every op and no gap", async () => {
  const { code, stdout } = await naysay(["ops", "--json"]);
  const { ops, gaps } = JSON.parse(stdout);
  expect(gaps).toEqual([]);
  expect(code).toBe(0);
  expect(ops.map((op: { name: string }) => op.name)).toEqual(allOps().map((op) => op.name));
  expect(ops[0]).toMatchObject({ signature: expect.any(String), dtypes: expect.any(Array), tiers: ["T0"] });
});

test("docs/ops.md is what the op table says", () => {
  expect(readFileSync(join(root, "docs/ops.md"), "utf8"), "run `npm run docs:ops`").toBe(opsMarkdown());
});

test("every function of ops that is no primitive is on the page, with a signature", () => {
  expect(compositions()).toEqual(expect.arrayContaining(["gelu", "mean", "rmsNorm", "softmax", "square"]));
  for (const name of compositions())
    expect(opsMarkdown()).toMatch(new RegExp(`^\\| \`${name}\` \\| \`.+\` \\| .+ \\|$`, "m"));
});
