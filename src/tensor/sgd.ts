/**
 * Plain gradient descent over flat segments, with clipping by the global norm, as one program that also zeroes the
 * gradients: what remains of an optimizer without moments, a control for AdamW.
 *
 *     g = gradient * min(1, maxGradNorm / (|g| + 1e-6));   p = p - lr weightDecay p - lr g
 *
 * Source: `torch.optim.SGD` with momentum 0, decay decoupled as in AdamW.
 */
import { assign, type Compiled, compile } from "./compile.ts";
import { FlatTensors } from "./create.ts";
import { ops } from "./ops/index.ts";
import {
  type AdamWOptions,
  type AdamWStep,
  checkAdamWStep,
  decayMasks,
  globalNorm,
  spread,
  UNCLIPPED,
} from "./optim.ts";
import type { Tensor } from "./tensor.ts";

type Segments = readonly Tensor[];
type Numbers = Readonly<Record<"decay" | "lr" | "maxNorm", number>>;
type Program = Compiled<[Segments, Segments, Segments, Numbers], Tensor>;

function update(p: Segments, g: Segments, decayed: Segments, given: Numbers): Tensor {
  // Numbers are scalar tensors inside a compiled function.
  const n = given as unknown as Readonly<Record<keyof Numbers, Tensor>>;
  const norm = globalNorm(g);
  const factor = ops.minimum(1, ops.div(n.maxNorm, ops.add(norm, 1e-6)));
  p.forEach((_, i) => {
    const kept = ops.sub(p[i], ops.mul(ops.mul(n.decay, spread(decayed[i], p[i])), p[i]));
    assign(p[i], ops.sub(kept, ops.mul(n.lr, ops.mul(g[i], factor))));
    assign(g[i], ops.full(g[i].shape, 0));
  });
  return norm;
}

/** Gradient descent for one set of flat parameters; owns their gradients. Takes the steps that `AdamW` takes. */
export class Sgd {
  readonly params: FlatTensors;
  /** Where gradients are accumulated; 0 after each step. */
  readonly grads: FlatTensors;
  private readonly decayed: readonly Tensor[];
  private readonly program: Program;

  constructor(params: FlatTensors, options: AdamWOptions = {}) {
    this.params = params;
    this.grads = new FlatTensors(params.layout, "grads");
    this.decayed = decayMasks(params.layout, options.decays);
    this.program = compile(update, { state: [0, 1], label: "sgd" }) as unknown as Program;
  }

  /** As `AdamW.step`; what belongs to moments is ignored. */
  step(given: AdamWStep): Tensor {
    const { lr, weightDecay, maxGradNorm } = checkAdamWStep(given);
    return this.program(this.params.flat, this.grads.flat, this.decayed, {
      decay: lr * weightDecay,
      lr,
      maxNorm: Math.min(maxGradNorm ?? UNCLIPPED, UNCLIPPED),
    });
  }

  /** Programs built so far. */
  get programs(): number {
    return this.program.programs;
  }

  /** Releases gradients and the program; the parameters stay. */
  dispose(): void {
    this.program.dispose();
    this.grads.dispose();
    for (const t of this.decayed) t.dispose();
  }
}
