/** `naysay ops` and the page that it writes. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { opsMarkdown } from "../../src/cli/ops.ts";
import type { OpFunction } from "../../src/tensor/opdef.ts";
import { compositions } from "../../src/tensor/ops/compositions.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import { allOps } from "../../src/tensor/ops/table.ts";
import { naysay } from "../helpers/command.ts";
import { root } from "../helpers/sourceFiles.ts";

test("naysay ops --json lists every op and no gap", async () => {
  const { code, stdout } = await naysay(["ops", "--json"]);
  const { ops: rows, gaps } = JSON.parse(stdout);
  expect(gaps).toEqual([]);
  expect(code).toBe(0);
  expect(rows.map((op: { name: string }) => op.name)).toEqual(allOps().map((op) => op.name));
  expect(rows[0]).toMatchObject({ signature: expect.any(String), dtypes: expect.any(Array), tiers: ["T0"] });
});

test("docs/ops.md is what the op table says", () => {
  expect(readFileSync(join(root, "docs/ops.md"), "utf8"), "run `npm run docs:ops`").toBe(opsMarkdown());
});

/** Cells of the page's rows, by the name in the first. */
function pageRows(): Map<string, string[]> {
  const rows = opsMarkdown().matchAll(/^\| `(\w+)` \| (.*) \|$/gm);
  return new Map([...rows].map(([, name, rest]) => [name, rest.split(" | ")]));
}

test("every function of ops is on the page under its name, with a signature, and no other op is said to be one", () => {
  const rows = pageRows();
  expect(compositions()).toEqual(expect.arrayContaining(["gelu", "mean", "rmsNorm", "softmax", "square"]));
  const inOps = (name: string): string => {
    if (Object.hasOwn(ops, name)) return "yes";
    const call = Object.entries<object>(ops).find(
      ([, f]) => (f as Partial<OpFunction>).op?.name === name,
    )?.[0];
    return call === undefined ? "no" : `as \`${call}\``;
  };
  for (const { name } of allOps()) expect(rows.get(name)?.[0], name).toBe(inOps(name));
  const table = new Set(allOps().map(({ name }) => name));
  for (const name of Object.keys(ops).filter((call) => !table.has(call)))
    expect(rows.get(name), name).toEqual([
      expect.stringMatching(/^`[^`]*->[^`]*`$/),
      expect.stringMatching(/\.$/),
    ]);
});

test("a signature names every operand, and the dtypes are those of the operand that may have most", () => {
  for (const op of allOps().filter(({ cases }) => cases.length > 0)) {
    expect(op.signature).not.toContain("`");
    const [operands] = op.signature.split("->");
    const names = operands
      .replace(/\[[^\]]*\]/g, "")
      .split(/[,@]/)
      .filter((name) => name.trim() !== "");
    expect(names.length, `${op.name}: ${op.signature}`).toBe(op.cases[0].inputs.length);
  }
  const dtypes = (name: string) => pageRows().get(name)?.[3];
  expect(["where", "take", "const", "lt"].map(dtypes)).toEqual([
    "bool, f32, i32, u32",
    "f32, u32",
    "bool, f32, i32, u32",
    "f32, i32, u32",
  ]);
});

test("the page says which ops may make a number of NaN, and of what has no finite result", () => {
  const saying = (text: string) =>
    [...pageRows()].filter(([, cells]) => cells.some((cell) => cell.includes(text))).map(([name]) => name);
  const ofNan = allOps()
    .filter((op) => op.hidesNan)
    .map(({ name }) => name);
  expect(saying("it may be a number.")).toEqual(ofNan);
  expect(ofNan).toEqual(expect.arrayContaining(["log", "max", "sign", "tanh"]));
  expect(saying("Of NaN, and of what has no finite result,")).toEqual(["log"]);
});
