/**
 * Cost curves: time of a training step and of a rollout over width, depth, context, batch and samples a prompt, each with a
 * line over its operations. A size far above its line is slow for another reason than its operations: a cliff.
 */

import { Generator } from "../model/generate.ts";
import { cacheColumns } from "../model/generateShapes.ts";
import { initializeParameters } from "../model/parameters.ts";
import { Transformer } from "../model/transformer.ts";
import { NaysayError } from "../tensor/errors.ts";
import type { WebGpuBackend } from "../tensor/webgpu.ts";
import { fitLine, type Line, residual } from "./fit.ts";
import { unprofiled } from "./measure.ts";
import type { BenchFailure } from "./result.ts";
import {
  type ModelSizes,
  rolloutFlops,
  smallBatch,
  smallModel,
  trainingFlops,
  WEIGHTS,
} from "./smallModel.ts";
import { summarize, type Timing } from "./stats.ts";
import { trainingSetup } from "./trainingStep.ts";

/** Other work on the machine makes samples longer and none shorter: the lower quartile says what the work takes. */
const taken = ({ low }: Timing): number => low;

/** A point this far above its line is a cliff. */
export const CLIFF = 0.5;
/** Fewest rounds, in each of which every point of a curve is timed once. */
const ROUNDS = 7;
/** A sample lasts at least so many ms. */
const LEAST_MS = 10;

export interface CurvePoint {
  /** The size that is varied. */
  x: number;
  flops: number;
  wall: Timing;
  /** ms by the line. */
  fitted: number;
  /** Lower quartile over fitted, less 1. */
  residual: number;
}

export interface Curve {
  work: "training step" | "rollout";
  over: string;
  /** What is not varied. */
  base: Readonly<Record<string, number>>;
  line: Line;
  points: CurvePoint[];
}

/** Sizes that are varied one at a time. `batch` is the prompts of a rollout, `context` its new tokens. */
interface CurveSizes {
  model: ModelSizes;
  width: number[];
  depth: number[];
  context: number[];
  batch: number[];
  rollout: { prompts: number; samples: number; prompt: number; length: number };
  samples: number[];
}

const SOFTWARE: CurveSizes = {
  model: { vocabSize: 64, hiddenSize: 48, numLayers: 2, numHeads: 4, maxPositions: 32, batch: 4 },
  width: [32, 48, 64, 96, 128],
  depth: [1, 2, 3, 4, 6],
  context: [16, 32, 64, 96, 128],
  batch: [1, 2, 4, 8, 16],
  rollout: { prompts: 4, samples: 4, prompt: 8, length: 16 },
  samples: [1, 2, 4, 8, 16],
};
const GPU: CurveSizes = {
  model: { vocabSize: 1024, hiddenSize: 512, numLayers: 6, numHeads: 8, maxPositions: 256, batch: 4 },
  width: [128, 192, 256, 384, 512, 768, 1024],
  depth: [1, 2, 4, 6, 8, 12],
  context: [64, 96, 128, 192, 256, 384, 512, 1024],
  batch: [1, 2, 3, 4, 6, 8, 16],
  rollout: { prompts: 16, samples: 8, prompt: 16, length: 64 },
  samples: [1, 2, 4, 8, 16, 32],
};
const QUICK: CurveSizes = {
  model: { vocabSize: 16, hiddenSize: 16, numLayers: 1, numHeads: 2, maxPositions: 16, batch: 2 },
  width: [16, 32],
  depth: [1, 2],
  context: [16, 32],
  batch: [1, 2],
  rollout: { prompts: 2, samples: 2, prompt: 4, length: 4 },
  samples: [1, 2],
};

/** A size made ready: what it computes, and a run that ends when the device is done. */
interface Ready {
  x: number;
  flops: number;
  run(): Promise<void>;
  dispose(): void;
}

type Rollout = CurveSizes["rollout"];

function readyStep(backend: WebGpuBackend, x: number, sizes: ModelSizes): Ready {
  const setup = trainingSetup(sizes);
  return {
    x,
    flops: trainingFlops(sizes),
    async run() {
      setup.step().dispose();
      await backend.sync();
    },
    dispose: () => setup.dispose(),
  };
}

function readyRollout(x: number, sizes: ModelSizes, rollout: Rollout): Ready {
  const { prompts: count, samples, prompt, length } = rollout;
  const positions = Math.max(sizes.maxPositions, prompt + length);
  const config = smallModel({ ...sizes, maxPositions: positions });
  const params = initializeParameters(config, WEIGHTS.seed, { std: WEIGHTS.std });
  const model = new Transformer(config);
  const generator = new Generator(model, { rows: count * samples });
  const { tokens } = smallBatch({ ...sizes, batch: count, maxPositions: prompt });
  const prompts = Array.from({ length: count }, (_, p) => [...tokens.subarray(p * prompt, (p + 1) * prompt)]);
  let rolls = 0;
  return {
    x,
    flops: rolloutFlops(sizes, { ...rollout, span: cacheColumns(prompt, length) }),
    async run() {
      await generator.generate(params.tensors, prompts, {
        numGenerations: samples,
        maxCompletionLength: length,
        promptLength: prompt,
        seed: 1,
        rollout: rolls++,
      });
    },
    dispose() {
      for (const part of [generator, model, params]) part.dispose();
    },
  };
}

interface Plan {
  work: Curve["work"];
  over: string;
  base: Readonly<Record<string, number>>;
  xs: readonly number[];
  ready(x: number): Ready;
}

function plans(backend: WebGpuBackend, sizes: CurveSizes): Plan[] {
  const { model, rollout } = sizes;
  const { vocabSize, hiddenSize: width, numLayers: depth, maxPositions: context, batch } = model;
  const step = (over: string, xs: readonly number[], change: (x: number) => Partial<ModelSizes>): Plan => ({
    work: "training step",
    over,
    base: { vocabulary: vocabSize, width, depth, context, batch },
    xs,
    ready: (x) => readyStep(backend, x, { ...model, ...change(x) }),
  });
  const roll = (
    over: string,
    xs: readonly number[],
    change: (x: number) => { model?: Partial<ModelSizes>; rollout?: Partial<Rollout> },
  ): Plan => ({
    work: "rollout",
    over,
    base: {
      vocabulary: vocabSize,
      width,
      depth,
      prompts: rollout.prompts,
      "samples a prompt": rollout.samples,
      "tokens of a prompt": rollout.prompt,
      "new tokens": rollout.length,
    },
    xs,
    ready: (x) => readyRollout(x, { ...model, ...change(x).model }, { ...rollout, ...change(x).rollout }),
  });
  const short = sizes.context.filter((x) => x <= 8 * rollout.length);
  return [
    step("width", sizes.width, (x) => ({ hiddenSize: x })),
    step("depth", sizes.depth, (x) => ({ numLayers: x })),
    step("context", sizes.context, (x) => ({ maxPositions: x })),
    step("batch", sizes.batch, (x) => ({ batch: x })),
    roll("width", sizes.width, (x) => ({ model: { hiddenSize: x } })),
    roll("depth", sizes.depth, (x) => ({ model: { numLayers: x } })),
    roll("new tokens", short, (x) => ({ rollout: { length: x } })),
    roll("prompts", sizes.batch, (x) => ({ rollout: { prompts: x } })),
    roll("samples a prompt", sizes.samples, (x) => ({ rollout: { samples: x } })),
  ];
}

export interface CurveOptions {
  /** ms for each point. */
  time: number;
  quick: boolean;
  signal?: AbortSignal;
  onCurve?(curve: Curve): void;
  onFailure?(failure: BenchFailure): void;
}

/** Times every point of a plan in turns, so that other work on the machine meets them alike; null where fewer than two work. */
async function curveOf(plan: Plan, backend: WebGpuBackend, options: CurveOptions): Promise<Curve | null> {
  const { time, signal, onFailure } = options;
  const points: (Ready & { samples: number[]; runs: number })[] = [];
  try {
    for (const x of plan.xs) {
      signal?.throwIfAborted();
      let made: Ready | null = null;
      try {
        made = plan.ready(x);
        await made.run();
        await made.run();
        const begun = performance.now();
        await made.run();
        const runs = Math.max(1, Math.ceil(LEAST_MS / Math.max(performance.now() - begun, 0.1)));
        points.push({ ...made, samples: [], runs });
      } catch (error) {
        made?.dispose();
        if (signal?.aborted || backend.device.failure !== null || !(error instanceof NaysayError))
          throw error;
        onFailure?.({
          name: `${plan.work} over ${plan.over}, ${x}`,
          message: `${error.name}: ${error.message}`,
        });
      }
    }
    const end = performance.now() + time * points.length;
    for (let round = 0; round < ROUNDS || performance.now() < end; round++) {
      for (const { run, runs, samples } of points) {
        signal?.throwIfAborted();
        // Not timed: the size before may have left the caches, and the driver, to clean up.
        await run();
        const begun = performance.now();
        for (let r = 0; r < runs; r++) await run();
        samples.push((performance.now() - begun) / runs);
      }
    }
  } finally {
    for (const { dispose } of points) dispose();
  }
  if (points.length < 2) return null;
  const timed = points.map(({ x, flops, samples }) => ({ x, flops, wall: summarize(samples) }));
  const line = fitLine(timed.map(({ flops, wall }) => ({ flops, ms: taken(wall) })));
  const { work, over } = plan;
  const { [over]: _varied, ...base } = plan.base;
  return {
    work,
    over,
    base,
    line,
    points: timed.map(({ x, flops, wall }) => ({
      x,
      flops,
      wall,
      fitted: line.a + line.b * flops,
      residual: residual(line, { flops, ms: taken(wall) }),
    })),
  };
}

/** Measures every curve on `backend`, which must be current. */
export async function measureCurves(backend: WebGpuBackend, options: CurveOptions): Promise<Curve[]> {
  const sizes = options.quick ? QUICK : backend.device.info.software ? SOFTWARE : GPU;
  const curves: Curve[] = [];
  await unprofiled(backend, async () => {
    for (const plan of plans(backend, sizes)) {
      const curve = await curveOf(plan, backend, options);
      if (!curve) continue;
      curves.push(curve);
      options.onCurve?.(curve);
    }
  });
  return curves;
}

/** The point furthest above its line, of all curves; null where there is none. */
export function worstPoint(curves: readonly Curve[]): { curve: Curve; point: CurvePoint } | null {
  let worst: { curve: Curve; point: CurvePoint } | null = null;
  for (const curve of curves) {
    for (const point of curve.points) {
      if (worst === null || point.residual > worst.point.residual) worst = { curve, point };
    }
  }
  return worst;
}
