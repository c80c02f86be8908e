/** What the scorer refuses; what it computes is compared with generation and with whole sequences (generate.test.ts). */
import { beforeAll, expect, test } from "vitest";
import { modelConfig } from "../../src/model/config.ts";
import { initializeParameters } from "../../src/model/parameters.ts";
import { Scorer } from "../../src/model/scoring.ts";
import { packRows } from "../../src/model/sequences.ts";
import { Transformer } from "../../src/model/transformer.ts";
import { backend } from "../../src/tensor/backend.ts";
import { useBackend } from "../helpers/backend.ts";

beforeAll(async () => {
  await useBackend();
});

const tokens = (n: number): number[] => Array.from({ length: n }, (_, i) => 3 + (i % 7));

test.each(["rope", "learned"] as const)(
  "%s positions: a row longer than the model is refused before any work for the GPU",
  async (positions) => {
    const config = modelConfig({
      vocabSize: 11,
      hiddenSize: 8,
      numLayers: 1,
      numHeads: 2,
      maxPositions: 12,
      positions,
    });
    const params = initializeParameters(config, 7).tensors;
    const scorer = new Scorer(new Transformer(config), 4);
    // Columns may be more than there are positions: these rows are 12 tokens at most.
    const widths = { promptLength: 16, completionLength: 16 };
    const fits = packRows([tokens(4), tokens(11)], [tokens(8), tokens(1)], widths);
    const scores = await scorer.score(params, fits);
    expect(scores.logProbs.every((x) => Number.isFinite(x) && x <= 0)).toBe(true);
    const before = backend().counters();
    const long = packRows([tokens(4), tokens(5)], [tokens(8), tokens(8)], widths);
    await expect(scorer.score(params, long)).rejects.toMatchObject({
      name: "ConfigError",
      message: expect.stringMatching(/^scorer: .*maxPositions=12 .*got 5 \+ 8 in row 1\. Shorten/),
    });
    expect(backend().counters()).toEqual(before);
    scorer.dispose();
  },
);
