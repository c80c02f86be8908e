/** docs/configuration.md lists every key of an experiment with the default that the code has. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { experimentConfig } from "../../src/rl/presets.ts";
import { pretrainConfig } from "../../src/rl/pretrain.ts";
import { trainConfig } from "../../src/rl/trainConfig.ts";
import { root } from "../helpers/sourceFiles.ts";

const page = readFileSync(join(root, "docs/configuration.md"), "utf8");
const cells = page.split("\n").map((line) => line.split("|").map((cell) => cell.trim().replaceAll("`", "")));
const listed = new Map(
  cells
    .slice(cells.findIndex(([, head]) => head === "key") + 2)
    .flatMap(([, key, value]) => (key ? [[key, value]] : [])) as [string, string][],
);

test("every key, and no other", () => {
  const config = experimentConfig("quick") as Record<string, unknown>;
  const keys = Object.entries(config).flatMap(([key, value]) =>
    ["pretrain", "train", "evaluation"].includes(key)
      ? Object.keys(value as object).map((inner) => `${key}.${inner}`)
      : [key],
  );
  expect([...listed.keys()].sort()).toEqual(keys.sort());
});

test("the defaults are the code's", () => {
  for (const [part, config] of Object.entries({ train: trainConfig(), pretrain: pretrainConfig() })) {
    for (const [key, value] of Object.entries(config)) {
      expect([key, JSON.parse(listed.get(`${part}.${key}`)!)]).toEqual([
        key,
        JSON.parse(JSON.stringify(value)),
      ]);
    }
  }
});
