/** docs/configuration.md lists every key of an experiment with the default that the code has. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
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

/** A default as the page writes it; prose such as "as in `train`" stays text. */
const plain = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
};

test("every key, and no other", () => {
  const config = experimentConfig("quick") as Record<string, unknown>;
  const keys = Object.entries(config).flatMap(([key, value]) =>
    ["pretrain", "train", "evaluation"].includes(key)
      ? Object.keys(value as object).map((inner) => `${key}.${inner}`)
      : [key],
  );
  expect([...listed.keys()].sort()).toEqual(keys.sort());
});

test("every key of a study, and no other", () => {
  const from = cells.findIndex(([, head]) => head === "study key") + 2;
  const keys = cells.slice(from).flatMap(([, key]) => (key ? [key] : []));
  expect(keys.sort()).toEqual([...studyKeys, "experiment"].sort());
});

test("the defaults are the code's", () => {
  const evaluation = validate("evaluation", evaluationRules, {});
  const parts = { train: trainConfig(), pretrain: pretrainConfig(), evaluation };
  for (const [part, config] of Object.entries(parts)) {
    for (const [key, value] of Object.entries(config)) {
      if (value === undefined) continue; // No default, so nothing to hold the page to.
      expect([key, plain(listed.get(`${part}.${key}`)!)]).toEqual([key, JSON.parse(JSON.stringify(value))]);
    }
  }
});
