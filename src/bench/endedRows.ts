/**
 * What rows that have ended cost W3: the time of a token of the rows that are left, with none, half and nine tenths of them
 * ended. All that end do so with their first token; the time is that from the token in the middle to the last, so neither the
 * prompts nor the steps in which the host learns of an end are part of it.
 */
import { type GenerateOptions, Generator } from "../model/generate.ts";
import { initializeParameters } from "../model/parameters.ts";
import { Transformer } from "../model/transformer.ts";
import { NaysayError } from "../tensor/errors.ts";
import type { WebGpuBackend } from "../tensor/webgpu.ts";
import { unprofiled } from "./measure.ts";
import type { MeasuredRow, MeasureOptions } from "./result.ts";
import { samplingPrompts, samplingSizes } from "./sampling.ts";
import { SMALL, smallModel, TINY, WEIGHTS } from "./smallModel.ts";
import { summarize } from "./stats.ts";

/** Shares of the rows that have ended. */
const SHARES = [0, 0.5, 0.9];
/** Samples of each prompt among which rows that end at once, and rows that never do, are looked for. */
const POOL = 8;
/** Fewest rounds. */
const FEWEST = 3;

/** A row: a prompt and the ids that its numbers come from. */
interface Candidate {
  prompt: number[];
  id: number;
}

/** Rows whose first token is `eos`, and rows that never draw it. */
interface Candidates {
  eos: number;
  ending: Candidate[];
  living: Candidate[];
}

/** The token that most rows begin with, as the end of a row. */
function chooseEnd(tokens: Uint32Array, length: number, rows: readonly Candidate[]): Candidates {
  const counts = new Map<number, number>();
  for (let r = 0; r < rows.length; r++)
    counts.set(tokens[r * length], (counts.get(tokens[r * length]) ?? 0) + 1);
  const [[eos]] = [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
  return {
    eos,
    ending: rows.filter((_, r) => tokens[r * length] === eos),
    living: rows.filter((_, r) => !tokens.subarray(r * length, (r + 1) * length).includes(eos)),
  };
}

/** The rows of W3 that tell what ended rows cost. */
export async function* endedRows(
  backend: WebGpuBackend,
  { time, quick, signal }: MeasureOptions,
): AsyncGenerator<MeasuredRow> {
  const sizes = quick ? TINY : SMALL;
  const { rows, prompt, length } = samplingSizes(quick);
  const params = initializeParameters(smallModel(sizes), WEIGHTS.seed, { std: WEIGHTS.std });
  const model = new Transformer(smallModel(sizes));
  const generator = new Generator(model, { rows });
  const half = length / 2;
  const sample = (of: readonly Candidate[], options: Partial<GenerateOptions>) =>
    generator.generate(
      params.tensors,
      of.map((c) => c.prompt),
      {
        promptIds: of.map((c) => c.id),
        maxCompletionLength: length,
        promptLength: prompt,
        seed: 1,
        ...options,
      },
    );
  try {
    const prompts = samplingPrompts(sizes, { rows, prompt });
    const pool = Array.from(
      { length: POOL * rows },
      (_, id): Candidate => ({ prompt: prompts[id % rows], id }),
    );
    const { tokens } = await sample(pool, {});
    const { eos, ending, living } = chooseEnd(tokens, length, pool);
    if (living.length === 0) {
      throw new NaysayError(
        `bench: rows without token ${eos} expected among ${pool.length}, got none. Make the weights smaller.`,
      );
    }
    // Down: some row is left.
    const endedOf = SHARES.map((share) => Math.floor(share * rows));
    const mixes = endedOf.map((ended) => {
      return Array.from({ length: rows }, (_, r) =>
        r < ended ? ending[r % ending.length] : living[r % living.length],
      );
    });
    // The ms of a token's step, from the first news of the middle token on: both ends lie in one rollout, and no other news between.
    const run = async (mix: readonly Candidate[]): Promise<number> => {
      signal?.throwIfAborted();
      await backend.sync();
      let middle = 0;
      let begun = 0;
      await sample(mix, {
        eosTokenId: eos,
        streamEvery: half,
        onTokens: ({ to }) => {
          if (middle > 0 || to < half) return;
          middle = to;
          begun = performance.now();
        },
      });
      return (performance.now() - begun) / (length - middle);
    };
    const samples: number[][] = SHARES.map(() => []);
    await unprofiled(backend, async () => {
      for (const mix of mixes) await run(mix);
      const begun = performance.now();
      // In turns, so that what else the machine does meets all alike.
      while (samples[0].length < FEWEST || performance.now() - begun < SHARES.length * time) {
        for (const [i, mix] of mixes.entries()) samples[i].push(half * (await run(mix)));
      }
    });
    const perToken = endedOf.map((ended, i) => summarize(samples[i]).ms / ((rows - ended) * half));
    for (const [i, ended] of endedOf.entries()) {
      yield {
        group: "w3",
        name: `w3 decoding: ${rows} sequences, ${ended} of them ended, ${half} tokens`,
        time: "wall",
        wall: summarize(samples[i]),
        gpu: null,
        flops: null,
        bytes: null,
        details: [
          { name: "a live token", value: perToken[i], unit: "ms" },
          { name: "against none ended", value: perToken[i] / perToken[0] },
        ],
      };
    }
  } finally {
    generator.dispose();
    model.dispose();
    params.dispose();
  }
}
