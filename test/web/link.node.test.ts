/** Settings and their link: what is written is read again, and what a stranger wrote is read with suspicion. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { experimentConfig } from "../../src/rl/presets.ts";
import type { WorkerInfo } from "../../src/worker/index.ts";
import { CHOICE_KEYS, type ChoiceKey, choice } from "../../web/src/controls.ts";
import { readLink, writeLink } from "../../web/src/link.ts";
import { nodeCommand } from "../../web/src/nodeCommand.ts";
import { runRequest } from "../../web/src/runRequest.ts";
import {
  ARM_WORDS,
  changesOf,
  conflictOf,
  NUMBER_KEYS,
  PRESET_NAMES,
  presetSettings,
  type Settings,
  setting,
  TIER_CHOICES,
} from "../../web/src/settings.ts";
import { hasShippedBase, TASK_NAMES } from "../../web/src/taskChoices.ts";
import { SHORT_QUERY } from "../helpers/pageRun.ts";

/** Any settings that the form could hold. */
const anySettings: fc.Arbitrary<Settings> = fc
  .record({
    preset: fc.constantFrom(...PRESET_NAMES),
    task: fc.constantFrom(...TASK_NAMES),
    arms: fc.subarray([...ARM_WORDS], { minLength: 1 }),
    tier: fc.constantFrom(...TIER_CHOICES),
    numbers: fc.record(
      Object.fromEntries(
        NUMBER_KEYS.map((key) => {
          const { kind, limits } = setting(key);
          const { min, max } = limits;
          return [key, kind === "integer" ? fc.integer({ min, max }) : fc.double({ min, max, noNaN: true })];
        }),
      ) as Record<(typeof NUMBER_KEYS)[number], fc.Arbitrary<number>>,
    ),
    choices: fc.record(
      Object.fromEntries(
        CHOICE_KEYS.map((key) => [key, fc.constantFrom(...Object.keys(choice(key).options))]),
      ) as Record<ChoiceKey, fc.Arbitrary<string>>,
    ),
  })
  .map(({ numbers, choices, ...rest }) => ({ ...rest, ...numbers, ...choices }));

/** Arms that a prompt with one sample still teaches: their rules compare it with no other. */
const JUDGES_ALONE = /^(base|psr|nsr|nsr-to-w|w-reinforce|reinforce)(-flipped)?$/;

/** What a link with settings is told: nothing, unless they do not go together. */
const expectedProblems = (settings: Settings): string[] => {
  const conflict = conflictOf(settings);
  return conflict === null ? [] : [`link: ${conflict}`];
};

describe("a link", () => {
  test("that the page wrote is read as the settings it came from", () => {
    fc.assert(
      fc.property(anySettings, (settings) => {
        const { settings: read, problems } = readLink(writeLink(settings));
        expect(problems).toEqual(expectedProblems(settings));
        // -0 is written as 0.
        expect(JSON.stringify(read)).toBe(JSON.stringify({ ...presetSettings("quick"), ...settings }));
        expect(writeLink(read)).toBe(writeLink(settings));
      }),
    );
  });

  test("names only what differs from its preset", () => {
    expect(writeLink(presetSettings("quick"))).toBe("?preset=quick");
    const settings = { ...presetSettings("tiny"), seed: 7, tier: "T0" as const };
    expect(writeLink(settings)).toBe("?preset=tiny&tier=T0&seed=7");
    const maze = { ...presetSettings("quick", "maze"), arms: ["base", "rloo"], form: "pi", split: "count" };
    expect(writeLink(maze)).toBe("?preset=quick&task=maze&arms=base,rloo&split=count&form=pi");
    expect(writeLink(presetSettings("gpu", "sudoku4"))).toBe("?preset=gpu&task=sudoku4");
  });

  test("without anything is the quick preset, with a checkpoint after each update", () => {
    const { settings, problems } = readLink("");
    expect(problems).toEqual([]);
    expect(settings).toMatchObject({
      preset: "quick",
      seed: 1,
      updates: 20,
      checkpointEvery: 1,
      tier: "auto",
    });
    expect(settings.arms).toEqual(["base", "psr", "nsr", "w-reinforce", "grpo"]);
  });

  test.each([
    ["sed=3", /^link: sed: a known key expected, got an unknown one\. Did you mean "seed"\?$/],
    ["learningRate=7", /^link: learningRate: a number in \[0, 1\] expected, got 7\. .* 0\.0003 is used\.$/],
    ["updates=1.5", /^link: updates: an integer in \[0, 10000\] expected, got 1\.5/],
    ["seed=0x10", /^link: seed: an integer .* expected, got "0x10"/],
    ["seed=", /^link: seed: an integer .* expected, got ""/],
    ["seed=1&seed=2", /^link: seed: one value expected, got two/],
    ["seed=1e999", /^link: seed: an integer .* expected, got Infinity/],
    ["arms=base,nrs", /^link: arms\[1\]: one of base, psr, .* expected, got "nrs"\. Did you mean "nsr"\?/],
    ["arms=", /^link: arms\[0\]: one of/],
    ["preset=quik", /^link: preset: one of quick, gpu, tiny expected, got "quik"\. Did you mean "quick"\?/],
    ["task=chess", /^link: task: one of countdown, .* got "chess"\. .* The task countdown is used\.$/],
    ["clip=0.3", /^link: clip: one of own, off expected, got "0\.3"\. .* "own" is used\.$/],
    ["form=constructor", /^link: form: one of own, ratio, log, pi expected/],
    ["optimizer=<b onclick=x>", /^link: optimizer: one of adamw, sgd expected, got "<b onclick=x>"/],
    ["kl=-1", /^link: kl: a number in \[0, 1000\] expected, got -1/],
    ["epochs=1001", /^link: epochs: an integer in \[1, 1000\] expected/],
    ["tier=T9", /^link: tier: one of auto, T0, T1, T2, T3, T4 expected/],
    ["__proto__=1", /^link: __proto__: a known key expected/],
    ["constructor=1", /^link: constructor: a known key expected/],
    [`seed=${"1".repeat(3000)}`, /^link: at most 2000 characters expected, got 3005/],
    ["arms=<script>alert(1)</script>", /^link: arms\[0\]: one of .* got "<script>alert\(1\)<\/script>"/],
  ])("%.40s is said and left out", (query, message) => {
    const { settings, problems } = readLink(`?${query}`);
    expect(problems).toEqual([expect.stringMatching(message)]);
    const first = query.startsWith("seed=1&") ? { seed: 1 } : {};
    expect(settings).toEqual({ ...presetSettings("quick"), ...first });
  });

  test("with settings that do not go together says so", () => {
    const { problems } = readLink("?arms=base,pkpo&k=9");
    expect(problems).toEqual([
      expect.stringMatching(/^link: algorithm: k of at most numGenerations=8 expected, got 9 of PKPO 9\./),
    ]);
  });

  test("with much that is wrong says the first few and how many more", () => {
    const { problems } = readLink(Array.from({ length: 40 }, (_, i) => `x${i}=1`).join("&"));
    expect(problems).toHaveLength(7);
    expect(problems[6]).toMatch(/34 more/);
  });

  test("never throws and never leaves a setting out of its range", () => {
    fc.assert(
      fc.property(fc.string(), fc.constantFrom(...NUMBER_KEYS, "arms", "tier", "preset"), (text, key) => {
        const { settings } = readLink(`?${key}=${text}`);
        for (const name of NUMBER_KEYS) {
          expect(settings[name]).toBeGreaterThanOrEqual(setting(name).limits.min);
          expect(settings[name]).toBeLessThanOrEqual(setting(name).limits.max);
        }
        expect(settings.arms.length).toBeGreaterThan(0);
      }),
    );
  });
});

describe("settings as an experiment", () => {
  test("of a preset change nothing but the checkpoints", () => {
    for (const name of PRESET_NAMES) {
      const config = experimentConfig(name);
      const changes = changesOf(presetSettings(name));
      expect(changes).toEqual(config.checkpointEvery === 1 ? {} : { checkpointEvery: 1 });
    }
  });

  test("are taken by the experiment's own check, whatever was chosen", () => {
    fc.assert(
      fc.property(anySettings, (settings) => {
        const conflict = conflictOf(settings);
        if (conflict !== null) {
          const tries = settings.arms.some((word) => /^(pass-k|pkpo)/.test(word));
          const compares =
            settings.noVariance === "drop" || settings.arms.some((word) => !JUDGES_ALONE.test(word));
          const because =
            (tries && settings.k > settings.numGenerations) || (compares && settings.numGenerations === 1);
          expect(because, conflict).toBe(true);
          return;
        }
        const config = experimentConfig(settings.preset, changesOf(settings));
        expect(config.task.name).toBe(settings.task);
        if (!hasShippedBase(settings)) expect(config.pretrain.steps).toBe(settings.pretrainSteps);
        for (const key of CHOICE_KEYS) expect(choice(key).read(config), key).toBe(settings[key]);
        expect(config.train.maxGradNorm ?? 0).toBe(settings.maxGradNorm);
        expect(config.train.steps).toBe(settings.updates);
        expect(config.evaluation.samples).toBe(settings.evalSamples);
        expect(config.arms).toHaveLength(settings.arms.length);
      }),
    );
  });

  test("put lambda into the arms that take it", () => {
    const settings = { ...presetSettings("quick"), lambda: 1e-7 };
    settings.arms = ["base", "w-reinforce", "w-reinforce-flipped"];
    expect(changesOf(settings).arms).toEqual([
      "base",
      "w-reinforce:0.0000001",
      "w-reinforce:0.0000001-flipped",
    ]);
  });

  test("with an uploaded base record a command that names it", async () => {
    const adapter = { tier: "T0" } as WorkerInfo["adapter"];
    const uploaded = { name: "my base.safetensors", bytes: new Uint8Array(8) };
    const request = await runRequest(presetSettings("tiny"), { adapter, version: "1.0.0" }, uploaded);
    expect(request.command).toMatch(/ --base 'my base\.safetensors'$/);
    expect(request.base).toBe(uploaded.bytes);
  });

  test("say how Node runs them", () => {
    const { line, json } = nodeCommand(readLink(SHORT_QUERY).settings, "T0");
    expect(line).toBe("NAYSAY_TIER=T0 npx naysay experiment --preset quick --seed 1 --config run.json");
    expect(JSON.parse(json ?? "")).toEqual({
      arms: ["base", "nsr"],
      train: { steps: 10, promptsPerStep: 4, numGenerations: 4, microBatchRows: 16 },
      evaluation: { prompts: 4, samples: 8, entropySamples: 2 },
      rows: 16,
      scoreRows: 16,
    });
    // The page's checkpoints change nothing that Node would have to repeat.
    expect(nodeCommand(presetSettings("quick"), null)).toEqual({
      line: "npx naysay experiment --preset quick --seed 1",
      json: null,
    });
  });

  test("of another task, with controls, pretrain in Node as well", () => {
    const link =
      "?task=addition&arms=base,pkpo&k=2&split=count&splitSize=2&cut=after&clip=off&optimizer=sgd&kl=0.1";
    const { settings, problems } = readLink(link);
    expect(problems).toEqual([]);
    const { line, json } = nodeCommand(settings, null);
    expect(line).toBe("npx naysay experiment --preset quick --seed 1 --config run.json");
    expect(JSON.parse(json ?? "")).toEqual({
      arms: ["base", "pkpo:2"],
      task: { name: "addition", config: {} },
      model: { maxPositions: 12 },
      base: null,
      train: { miniBatches: { kind: "count", count: 2 }, cutFirst: false },
      algorithm: {
        kl: { estimator: "k3", where: "loss", coefficient: 0.1 },
        clip: false,
        optimizer: "sgd",
      },
    });
    expect(nodeCommand(settings, null, "own.safetensors").line).toMatch(/run\.json --base own\.safetensors$/);
    // A preset without a base pretrains by itself.
    expect(nodeCommand(presetSettings("tiny", "maze"), null).json).not.toMatch(/base/);
  });
});
