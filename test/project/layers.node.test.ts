/** The layers of docs/architecture.md, read off the import lines; and what no source file may hold. */

import { readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { describe, expect, test } from "vitest";
import { type ImportLine, importsOf } from "../helpers/imports.ts";
import { publicComplaint } from "../helpers/publicNames.ts";
import { root, sourceFiles, withoutComments } from "../helpers/sourceFiles.ts";

/** Which folders of src/ each folder may import, besides itself. "" is src/index.ts, the public barrel. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  shaders: [],
  tensor: ["shaders"],
  model: ["tensor", "shaders"],
  // Evaluation knows no task; an experiment trains and evaluates.
  rl: ["eval", "model", "tensor", "shaders"],
  eval: ["model", "tensor", "shaders"],
  check: ["model", "tensor", "shaders"],
  bench: ["check", "rl", "eval", "model", "tensor", "shaders"],
  worker: ["bench", "check", "rl", "eval", "model", "tensor", "shaders"],
  cli: ["bench", "check", "rl", "eval", "model", "tensor", "shaders"],
  "": ["rl", "eval", "model", "tensor", "shaders"],
};

/** Files that import nothing at all. */
const IMPORT_NOTHING = ["src/eval/estimators.ts"];

/** Packages, and the files that may import them. `lazy`: only by `import()`, so that no bundle has it at its start. */
const PACKAGES: Record<string, { where: RegExp; lazy: boolean }> = {
  webgpu: { where: /^src\/tensor\/gpu\.node\.ts$/, lazy: true },
  tinybench: { where: /^src\/bench\/measure\.ts$/, lazy: false },
};

/** Where host mathematics of unspecified precision is allowed, and why. */
const HOST_MATH: readonly { where: RegExp; why: string }[] = [
  { where: /^src\/tensor\/ops\//, why: "float64 references inside op definitions: oracles, never results" },
  { where: /^src\/tensor\/interpreter/, why: "the float64 interpreter is an oracle" },
];

const UNSPECIFIED =
  /\bMath\.(a?cosh?|a?sinh?|a?tanh?|atan2|cbrt|exp|expm1|hypot|log|log10|log1p|log2|pow|random)\b/;

const files = sourceFiles("src").map((path) => ({
  path: relative(root, path),
  text: readFileSync(path, "utf8"),
}));

/** The layer of a path below src/: its first folder, "" for a file in src/ itself. */
const layerOf = (path: string) => (path.split("/").length > 2 ? path.split("/")[1] : "");

/** What is wrong with one import, or `null`. */
function complaint(path: string, { specifier, lazy }: ImportLine): string | null {
  const nodeOnly = /\.(node|deno)\.ts$/.test(path) || path.startsWith("src/cli/");
  if (IMPORT_NOTHING.includes(path)) return `imports "${specifier}" and may import nothing`;
  if (specifier.startsWith("node:"))
    return nodeOnly ? null : `imports "${specifier}" outside *.node.ts, *.deno.ts and src/cli`;
  if (specifier.startsWith("#")) return null;
  if (!specifier.startsWith(".")) {
    const rule = PACKAGES[specifier];
    if (!rule?.where.test(path))
      return `imports the package "${specifier}", which is not on the list for this file`;
    return rule.lazy && !lazy ? `imports "${specifier}" at its start; use import()` : null;
  }
  const target = relative(root, join(root, dirname(path), specifier));
  if (/\.(node|deno)\.ts$/.test(target) && !nodeOnly) return `imports ${target} and is no Node-only file`;
  const from = layerOf(path);
  const to = layerOf(target);
  const allowed = MAY_IMPORT[from];
  if (allowed === undefined) return `lies in a folder that has no row in the table of layers`;
  if (from === to || allowed.includes(to) || allowed.includes(target.slice("src/".length))) return null;
  return `imports ${target}: ${from} may import ${allowed.join(", ") || "nothing"}`;
}

describe("layers", () => {
  test("there is something to read", () => expect(files.length).toBeGreaterThan(10));

  test("an import goes down, never up", () => {
    const wrong = files.flatMap(({ path, text }) =>
      importsOf(text).flatMap((line) => {
        const what = complaint(path, line);
        return what ? [`${path}:${line.line} ${what}`] : [];
      }),
    );
    expect(wrong).toEqual([]);
  });

  test("the rules bite", () => {
    const of = (path: string, text: string) => importsOf(text).map((line) => complaint(path, line));
    expect(of("src/tensor/a.ts", 'import { x } from "../model/b.ts";')).toEqual([
      "imports src/model/b.ts: tensor may import shaders",
    ]);
    expect(of("src/model/a.ts", 'import {\n  x,\n} from "node:fs";')[0]).toMatch(/outside/);
    expect(of("src/tensor/a.ts", 'export { x } from "./gpu.node.ts";')[0]).toMatch(/no Node-only file/);
    expect(of("src/tensor/gpu.node.ts", 'import { create } from "webgpu";')[0]).toMatch(/use import\(\)/);
    expect(of("src/rl/a.ts", 'import { passAtK } from "../eval/estimators.ts";')).toEqual([null]);
    expect(of("src/eval/a.ts", 'import type { Task } from "../rl/task.ts";')[0]).toMatch(/eval may import/);
    expect(of("src/shaders/a.ts", '// import { x } from "../tensor/b.ts";')).toEqual([]);
  });
});

describe("the page and the apps", () => {
  const apps = ["web/src", "examples"]
    .flatMap((folder) => sourceFiles(folder, [".ts", ".js", ".html"]))
    .map((path) => relative(root, path))
    .filter((path) => path.split("/").includes("src") || path.endsWith(".html"))
    .filter((path) => !/\/(node_modules|dist)\//.test(path));

  test("there is something to read", () => {
    for (const folder of ["web", "examples/plain", "examples/vite-app", "examples/thumbs-down-app"]) {
      expect(apps.filter((path) => path.startsWith(`${folder}/`)).length, folder).toBeGreaterThan(0);
    }
  });

  test("import what is public", () => {
    const wrong = apps.flatMap((path) =>
      importsOf(readFileSync(join(root, path), "utf8")).flatMap((line) => {
        const what = publicComplaint(path, line);
        return what ? [`${path}:${line.line} ${what}`] : [];
      }),
    );
    expect(wrong, "export it from a barrel under a name that says what it is, or keep it out").toEqual([]);
  });

  test("the rules bite", () => {
    const of = (path: string, text: string) => importsOf(text).map((line) => publicComplaint(path, line));
    expect(of("web/src/a.ts", 'import { lineChart, log2 as l } from "../../src/eval/svg.ts";')).toEqual([
      "imports log2 of src/eval/svg.ts, which no entry of the package exports",
    ]);
    expect(
      of("web/src/a.ts", 'import { armName, type ExperimentConfig } from "../../src/rl/presets.ts";'),
    ).toEqual([null]);
    expect(of("web/src/a.ts", 'import { connect } from "../../src/worker/index.ts";')).toEqual([null]);
    expect(of("web/src/a.ts", 'import * as gate from "../../src/worker/gate.ts";')[0]).toMatch(
      /imports \* of/,
    );
    expect(of("web/src/a.ts", 'const gate = import("../../src/worker/gate.ts");')[0]).toMatch(
      /imports \* of/,
    );
    expect(of("web/src/a.ts", 'import { x } from "../../test/helpers/a.ts";')[0]).toMatch(/outside/);
    expect(of("web/src/a.ts", 'import { x } from "../screenshots.mjs";')).toEqual([null]);
    expect(of("examples/a/src/b.ts", 'import { passAtK } from "naysay/eval";')).toEqual([null]);
    expect(of("examples/a/src/b.ts", 'import { nsr } from "naysay/eval";')).toEqual([
      "imports nsr of naysay/eval, which exports no such name",
    ]);
    expect(of("examples/a/src/b.ts", 'import { Gate } from "naysay/worker/gate";')[0]).toMatch(/no entry/);
    expect(of("examples/a/src/b.ts", 'import url from "naysay/assets/quick-base.json?url";')).toEqual([null]);
    expect(of("examples/a/index.html", 'import { x } from "../../dist/rl/presets.js";')[0]).toMatch(
      /outside/,
    );
  });
});

describe("host mathematics", () => {
  test("nothing outside the list calls functions whose last bits differ between engines", () => {
    const wrong = files
      .filter(({ path }) => !HOST_MATH.some(({ where }) => where.test(path)))
      .flatMap(({ path, text }) =>
        withoutComments(text)
          .split("\n")
          .flatMap((line, i) => (UNSPECIFIED.test(line) ? [`${path}:${i + 1} ${line.trim()}`] : [])),
      );
    expect(wrong, "use src/tensor/math.ts").toEqual([]);
  });

  test("the rule bites", () => {
    for (const call of ["Math.exp(x)", "Math.log1p(x)", "Math.random()", "Math.pow(2, x)", "Math.tanh(x)"]) {
      expect(UNSPECIFIED.test(call), call).toBe(true);
    }
    for (const call of ["Math.sqrt(x)", "Math.floor(x)", "Math.clz32(x)", "expect(x)", "Math.fround(x)"]) {
      expect(UNSPECIFIED.test(call), call).toBe(false);
    }
  });
});

describe("files", () => {
  const all = ["src", "test", "scripts"]
    .flatMap((folder) => sourceFiles(folder, [".ts", ".mjs"]))
    .filter(
      // Golden data is written by a script and is as long as it is.
      (path) => !path.includes("/golden/"),
    );

  test("none is past 600 lines", () => {
    const long = all.map(
      (path) => `${relative(root, path)}: ${readFileSync(path, "utf8").split("\n").length - 1}`,
    );
    expect(long.filter((row) => Number(row.split(": ")[1]) > 600)).toEqual([]);
  });

  test("barrels hold explicit names only", () => {
    expect(files.filter(({ text }) => /^\s*export\s*\*/m.test(text)).map(({ path }) => path)).toEqual([]);
  });

  test("the lock file names no host", () => {
    const lock = readFileSync(join(root, "package-lock.json"), "utf8");
    expect(lock).not.toMatch(/"resolved"|https?:\/\/[^"]*registry/);
  });

  test("the lock file is whole, so that npm ci takes it on every platform", () => {
    const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8"));
    const packages = lock.packages as Record<string, { optionalDependencies?: Record<string, string> }>;
    const missing = Object.values(packages).flatMap((entry) =>
      Object.keys(entry.optionalDependencies ?? {}).filter((name) => !packages[`node_modules/${name}`]),
    );
    expect(missing, "run `node scripts/completeLock.mjs`").toEqual([]);
  });
});
