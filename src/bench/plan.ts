/**
 * What a training step (forward, backward, AdamW) of a model takes of memory, and what it is made of, from its plan alone: the step
 * is traced and lowered as for a device, and none is asked for. Planned bytes are those that a device allocates (test/bench/plan).
 */

import type { ModelConfig } from "../model/config.ts";
import { allocateParameters } from "../model/parameters.ts";
import { withBackend } from "../tensor/backend.ts";
import type { FlatTensors } from "../tensor/create.ts";
import { ConfigError, MemoryBudgetError } from "../tensor/errors.ts";
import type { Value } from "../tensor/ir.ts";
import { bytesFor, largestValues, storageBytes } from "../tensor/passes/memory.ts";
import type { Lowered } from "../tensor/passes/pipeline.ts";
import type { Tier } from "../tensor/tiers.ts";
import { BINDING_LIMIT, DEFAULT_BUDGET } from "../tensor/webgpu.ts";
import { PlanningBackend } from "./planningBackend.ts";
import { trainingStep } from "./trainingStep.ts";

export interface PlanOptions {
  batch: number;
  /** Tokens a row, at most the model's `maxPositions`. */
  context: number;
  /** Default T2. Kernels depend on it. */
  tier?: Tier;
  /** Computes each layer's activations again in the backward pass. */
  recompute?: boolean;
  /** Most bytes of all together. Default: what `init()` allows for the temporaries of a program, and no other. */
  limit?: number;
}

/** One program of the step. */
export interface ProgramPlan {
  label: string;
  kernels: number;
  /** Different texts among them: pipelines to compile. */
  texts: number;
  /** Bytes of temporaries, and of those that are alive at the fullest moment: no plan can take less. */
  plannedBytes: number;
  lowerBound: number;
  /** The largest temporaries of that moment. */
  largest: string[];
}

export interface TrainingPlan {
  parameterBytes: number;
  gradientBytes: number;
  momentBytes: number;
  /** What else lives as long: masks of the decay, tables of positions, tokens. */
  otherBytes: number;
  /** Of all programs, whose arenas stay allocated side by side. */
  plannedBytes: number;
  lowerBound: number;
  totalBytes: number;
  programs: ProgramPlan[];
  /** Labels of programs that no plan fits a device: sums of temporaries, and of all, lack them. */
  unplanned: string[];
  /** Why it does not fit the limit, with what to reduce; null where it does. */
  refusal: string | null;
}

/**
 * Times that hidden states may pass what a buffer holds and still be traced, so that the plan says what else is too large. Further
 * on no plan fits either, and tracing takes long: a large vocabulary's losses are cut into ever more pieces.
 */
const TRACED = 2;

/** Throws `MemoryBudgetError` for a step that is not traced because it is much too large. */
function requireTraceable({ hiddenSize }: ModelConfig, batch: number, context: number): void {
  const bytes = 4 * hiddenSize * batch * context;
  if (bytes <= TRACED * BINDING_LIMIT) return;
  const most = Math.floor(BINDING_LIMIT / (4 * hiddenSize));
  throw new MemoryBudgetError(
    `plan: hidden states [B=${batch}, T=${context}, C=${hiddenSize}] of at most ${BINDING_LIMIT / 2 ** 20} MiB, one buffer, expected, got ${Math.round(bytes / 2 ** 20)} MiB. Reduce the batch or the context, to at most ${most} tokens in all.`,
  );
}

/**
 * The plan of a step of `batch` rows of `context` tokens. Throws `ConfigError` for sizes that are none, `ShapeError` where the
 * context is longer than the model's, `MemoryBudgetError` where hidden states alone are several times what a buffer holds. What
 * does not fit otherwise is no error but `refusal`.
 */
export function planTraining(config: ModelConfig, options: PlanOptions): TrainingPlan {
  const { batch, context, tier = "T2", recompute = false, limit } = options;
  for (const [name, value] of Object.entries({ batch, context })) {
    if (Number.isInteger(value) && value >= 1) continue;
    throw new ConfigError(`plan: ${name}: an integer of at least 1 expected, got ${value}. Try 1.`);
  }
  requireTraceable(config, batch, context);
  const backend = new PlanningBackend(tier);
  return withBackend(backend, () => {
    const tokens = new Uint32Array(batch * context);
    const data = { shape: [batch, context], tokens, targets: tokens };
    const setup = trainingStep(config, allocateParameters(config), data, { recompute });
    setup.step().dispose();
    // Tables and constants of programs are made as they are first needed.
    const held = backend.live;
    const { grads, m, v } = setup.optimizer;
    const [parameterBytes, gradientBytes, ...moments] = [setup.params, grads, m, v].map(segmentBytes);
    setup.dispose();
    const momentBytes = moments[0] + moments[1];
    const programs = backend.built.flatMap(({ label, lowered }) => (lowered ? [planOf(label, lowered)] : []));
    const plannedBytes = programs.reduce((n, p) => n + p.plannedBytes, 0);
    const plan = {
      parameterBytes,
      gradientBytes,
      momentBytes,
      otherBytes: held - parameterBytes - gradientBytes - momentBytes,
      plannedBytes,
      lowerBound: programs.reduce((n, p) => n + p.lowerBound, 0),
      totalBytes: held + plannedBytes,
      programs,
      unplanned: backend.built.flatMap(({ label, lowered }) => (lowered ? [] : [label])),
    };
    const refused = backend.built.find((p) => p.refusal !== null)?.refusal?.message;
    return { ...plan, refusal: refused ?? overLimit(plan, limit, recompute) };
  });
}

function segmentBytes(tensors: FlatTensors): number {
  return tensors.layout.segments.reduce((n, elements) => n + storageBytes(elements), 0);
}

const MOST_SHOWN = 5;

/** A temporary, and the kernel that makes it. */
interface Made {
  readonly value: Value;
  readonly by: string;
}

/** Temporaries that are alive when most bytes are. */
function aliveAtPeak({ kernels, memory }: Lowered): Made[] {
  const made = new Map<Value, Made & { from: number; to: number }>();
  for (const [step, { bindings, label }] of kernels.entries()) {
    for (const { value } of bindings.filter((b) => memory.places.has(b.value))) {
      const known = made.get(value);
      if (known) known.to = step;
      else made.set(value, { value, by: label, from: step, to: step });
    }
  }
  const all = [...made.values()];
  const changes = new Array<number>(kernels.length + 1).fill(0);
  for (const { value, from, to } of all) {
    changes[from] += bytesFor(value);
    changes[to + 1] -= bytesFor(value);
  }
  let [alive, most, peak] = [0, -1, 0];
  for (const [step, change] of changes.entries()) {
    alive += change;
    if (alive > most) [most, peak] = [alive, step];
  }
  return all.filter(({ from, to }) => from <= peak && peak <= to);
}

function planOf(label: string, lowered: Lowered): ProgramPlan {
  const { kernels, memory } = lowered;
  return {
    label,
    kernels: kernels.length,
    texts: new Set(kernels.map((k) => k.wgsl)).size,
    plannedBytes: memory.totalBytes,
    lowerBound: memory.lowerBound,
    largest: largestValues(aliveAtPeak(lowered), MOST_SHOWN),
  };
}

/** What is too much, and what to do about it: of all together, or of what a program may take without being told. */
function overLimit(
  plan: Omit<TrainingPlan, "refusal">,
  limit: number | undefined,
  recompute: boolean,
): string | null {
  const { totalBytes, plannedBytes, programs } = plan;
  const most = programs.reduce((a, b) => (b.plannedBytes > a.plannedBytes ? b : a));
  const largest = `Largest at the fullest moment: ${most.largest.join("; ")}.`;
  const reduce = `educe the batch or the context${recompute ? "" : ", or recompute activations (--recompute)"}`;
  const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  if (limit !== undefined && totalBytes > limit) {
    const remedy =
      totalBytes - plannedBytes > limit
        ? "Take a smaller model: what is no temporary is too much alone."
        : `R${reduce}. ${largest}`;
    const parts = `${mib(totalBytes - plannedBytes)} of parameters and moments and ${mib(plannedBytes)} of temporaries`;
    return `plan: at most ${mib(limit)} expected, got ${mib(totalBytes)}: ${parts}. ${remedy}`;
  }
  if (limit === undefined && most.plannedBytes > DEFAULT_BUDGET) {
    return `plan: at most ${mib(DEFAULT_BUDGET)} of temporaries expected for ${most.label}, got ${mib(most.plannedBytes)}. Give init() a larger memoryBudget, or r${reduce}. ${largest}`;
  }
  return null;
}
