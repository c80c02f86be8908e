/**
 * docs/configuration.md lists every key of an experiment with the default that the code has, and so do the types: an editor
 * shows what a key is where it is written.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { expect, test } from "vitest";
import { evaluationRules } from "../../src/rl/evaluationConfig.ts";
import { experimentConfig } from "../../src/rl/presets.ts";
import { pretrainConfig } from "../../src/rl/pretrain.ts";
import { studyKeys } from "../../src/rl/studyConfig.ts";
import { trainConfig } from "../../src/rl/trainConfig.ts";
import { validate } from "../../src/tensor/validate.ts";
import { root } from "../helpers/sourceFiles.ts";

const page = readFileSync(join(root, "docs/configuration.md"), "utf8");
const cells = page.split("\n").map((line) => line.split("|").map((cell) => cell.trim().replaceAll("`", "")));
const listed = new Map(
  cells
    .slice(
      cells.findIndex(([, head]) => head === "key") + 2,
      cells.findIndex(([, head]) => head === "study key"),
    )
    .flatMap(([, key, value]) => (key ? [[key, value]] : [])) as [string, string][],
);

const PARTS = {
  pretrain: pretrainConfig(),
  train: trainConfig(),
  evaluation: validate("evaluation", evaluationRules, {}),
};

/** A configuration with all keys in it. */
const config = { ...experimentConfig("quick"), ...PARTS };

/** Its keys, those of a part as `part.key`. */
const keys = Object.entries(config).flatMap(([key, value]) =>
  key in PARTS ? Object.keys(value).map((inner) => `${key}.${inner}`) : [key],
);

test("every key, and no other", () => expect([...listed.keys()].sort()).toEqual([...keys].sort()));

test("every key of a study, and no other", () => {
  const from = cells.findIndex(([, head]) => head === "study key") + 2;
  const keys = cells.slice(from).flatMap(([, key]) => (key ? [key] : []));
  expect(keys.sort()).toEqual([...studyKeys, "experiment"].sort());
});

test("the defaults are the code's", () => {
  for (const [part, values] of Object.entries(PARTS)) {
    for (const [key, value] of Object.entries(values)) {
      if (value === undefined) continue;
      expect([key, JSON.parse(listed.get(`${part}.${key}`)!)]).toEqual([
        key,
        JSON.parse(JSON.stringify(value)),
      ]);
    }
  }
});

test("an editor shows what each key of the package's types is, and its default", () => {
  const file = join(root, "dist/usesEveryKey.ts");
  const written = JSON.stringify(config, null, 1).replace(/"(\w+)":/g, "$1:");
  const text = `import { experimentConfig } from "./rl/index.js";\nexperimentConfig("quick", ${written});\n`;
  const options = { ...ts.getDefaultCompilerOptions(), module: ts.ModuleKind.NodeNext, types: [] };
  const service = ts.createLanguageService({
    getCompilationSettings: () => ({ ...options, moduleResolution: ts.ModuleResolutionKind.NodeNext }),
    getScriptFileNames: () => [file],
    getScriptVersion: () => "1",
    getScriptSnapshot: (name) => {
      const content = name === file ? text : ts.sys.readFile(name);
      return content === undefined ? undefined : ts.ScriptSnapshot.fromString(content);
    },
    getCurrentDirectory: () => root,
    getDefaultLibFileName: ts.getDefaultLibFilePath,
    fileExists: ts.sys.fileExists,
    readFile: ts.sys.readFile,
  });
  const shownAt = (key: string): string => {
    const [first, second] = key.split(".");
    const start = text.indexOf(`\n ${first}:`);
    const at = second ? text.indexOf(`\n  ${second}:`, start) + 3 : start + 2;
    const { documentation } = service.getQuickInfoAtPosition(file, at) ?? {};
    return ts.displayPartsToString(documentation).replace(/\s+/g, " ");
  };
  const seen = keys.filter((key) => text.includes(` ${key.split(".").at(-1)}:`)); // undefined is not written
  expect(seen.length).toBeGreaterThan(35);
  for (const key of seen) {
    const [part, inner] = key.split(".");
    const shown = shownAt(key);
    expect(shown, key).toMatch(/^[A-Z`].{10,}\.$/);
    const value = new Map(Object.entries(PARTS[part as keyof typeof PARTS] ?? {})).get(inner);
    if (value === undefined) continue;
    const said = shown.match(/ Default (.*)\.$/)?.[1];
    expect([key, JSON.parse(said ?? '"none"')]).toEqual([key, JSON.parse(JSON.stringify(value))]);
  }
});
