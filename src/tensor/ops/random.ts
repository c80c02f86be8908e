/**
 * Counter-based random bits: Philox 4x32-10 as an elementwise op, so that a draw depends on its key and counter
 * and on nothing else. Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
 */
import type { OpFunction } from "../opdef.ts";
import { philox } from "../random.ts";
import type { Tensor } from "../tensor.ts";
import { apply, composite, type TensorLike } from "../trace.ts";
import { broadcastAll, defineMap } from "./define.ts";
import { cast, mul, shiftRight } from "./elementwise.ts";

const philoxOp = defineMap({
  name: "philox",
  doc: "Word 0 of Philox 4x32-10 at counter (c0, c1, c2, c3) under key (k0, k1).",
  signature: "c0[...], c1[...], c2[...], c3[...], k0[...], k1[...] -> [...]",
  source: "Salmon et al. 2011; Random123",
  dtypes: ["u32"],
  domain: new Array(6).fill({ range: [0, 4294967295] as const }),
  helpers: ["philox"],
  scalarOnly: true,
  weight: 60,
  wgsl: ([c0, c1, c2, c3, k0, k1]) =>
    `philox4x32(vec4<u32>(${c0}, ${c1}, ${c2}, ${c3}), vec2<u32>(${k0}, ${k1})).x`,
  ref: ([c0, c1, c2, c3, k0, k1]) => philox([c0, c1, c2, c3], [k0, k1])[0],
  noGradient: "integers",
});

/** Random u32 for each counter (four words) under a key (two words); all u32, broadcast together. */
export const randomBits: ((counter: readonly TensorLike[], key: readonly TensorLike[]) => Tensor) &
  OpFunction = Object.assign(
  (counter: readonly TensorLike[], key: readonly TensorLike[]): Tensor =>
    composite((...args: TensorLike[]) => apply(philoxOp, broadcastAll("philox", args))[0], "philox")(
      ...counter,
      ...key,
    ),
  { op: philoxOp },
);

/** Uniform f32 in [0, 1) from the top 24 bits of `bits`. */
export const uniformFromBits = composite(
  (bits: TensorLike) => mul(cast(shiftRight(bits, 8), "f32"), 5.9604644775390625e-8),
  "uniformFromBits",
);
