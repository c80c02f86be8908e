/**
 * Hand-built kernels, as bodies over named bindings and parameters. `unit` is the unit of work (see the kernel
 * assembly in the code generator); where threads share one, `part` is the thread's, and `inside` false in those of no
 * unit. Bindings are b0, b1, ... inputs first, then outputs.
 */
import {
  type AttentionSizes,
  attentionForward,
  attentionGradient,
  attentionHelpers,
  cachedAttention,
} from "./attention.ts";
import type { QuadRead } from "./quads.ts";

/** A text, or a function of the sizes that are part of it. */
export type TemplateText = string | ((sizes: AttentionSizes, quad: QuadRead | null) => string);

/** Bodies by template name; `p.*` are sizes that the code generator supplies. */
export const TEMPLATES: Readonly<Record<string, TemplateText>> = {
  // b0 indices[N] -> b1 head[V], b2 next[N]. One thread per list and per element; reads only.
  indexChain: /* wgsl */ `
let length = p.length;
if (unit < p.rows) {
  var h = length;
  for (var i = 0u; i < length; i++) {
    if (min(b0[i], p.rows - 1u) == unit) { h = i; break; }
  }
  b1[unit] = h;
}
if (unit < length) {
  let mine = min(b0[unit], p.rows - 1u);
  var n = length;
  for (var i = unit + 1u; i < length; i++) {
    if (min(b0[i], p.rows - 1u) == mine) { n = i; break; }
  }
  b2[unit] = n;
}`,

  // b0 x[V, C], b1 patch[N, C], b2 rows[N] -> b3 out[V, C]. One thread per output looks for its row's patch.
  updateRows: /* wgsl */ `
let v = unit / p.width;
let length = p.length;
var at = length;
for (var i = 0u; i < length; i++) {
  if (b2[i] == v) { at = i; }
}
if (at < length) { b3[unit] = b1[at * p.width + unit % p.width]; } else { b3[unit] = b0[unit]; }`,

  // b0 updates[N, C], b1 head[V], b2 next[N] -> b3 out[V, C]. One thread per output walks its list in order.
  chainSum: /* wgsl */ `
let v = unit / p.width;
let c = unit % p.width;
let length = p.length;
var acc = 0.0;
var i = b1[v];
for (var steps = 0u; steps < length; steps++) {
  if (i >= length) { break; }
  acc = acc + b0[i * p.width + c];
  i = b2[i];
}
b3[unit] = acc;`,

  // b0 logits[R, V], b1 uniform[R], b2 temperature, b3 topK, b4 topP -> b5 token[R], b6 logProb[R].
  // One thread a row. Thresholds (the largest that still keeps k tokens, the largest whose tokens hold topP of the mass) are found
  // by bisection on the order-preserving integer image of the logits.
  sample: /* wgsl */ `
let vocab = p.vocab;
let base = unit * vocab;
var best = b0[base];
var bestAt = 0u;
for (var v = 1u; v < vocab; v++) {
  let x = b0[base + v];
  if (x > best) { best = x; bestAt = v; }
}
if (b2[0] == 0.0) {
  b5[unit] = bestAt;
  b6[unit] = 0.0;
  return;
}
let scale = 1.0 / b2[0];
var cut = 0u;
let k = b3[0];
if (k > 0u && k < vocab) {
  var low = 0u;
  var high = orderKey(best);
  while (low < high) {
    let mid = low + (high - low + 1u) / 2u;
    var kept = 0u;
    for (var v = 0u; v < vocab; v++) {
      if (orderKey(b0[base + v]) >= mid) { kept++; }
    }
    if (kept >= k) { low = mid; } else { high = mid - 1u; }
  }
  cut = low;
}
if (b4[0] < 1.0) {
  var total = 0.0;
  for (var v = 0u; v < vocab; v++) {
    if (orderKey(b0[base + v]) >= cut) { total = total + exp((b0[base + v] - best) * scale); }
  }
  var low = cut;
  var high = orderKey(best);
  while (low < high) {
    let mid = low + (high - low + 1u) / 2u;
    var mass = 0.0;
    for (var v = 0u; v < vocab; v++) {
      if (orderKey(b0[base + v]) >= mid) { mass = mass + exp((b0[base + v] - best) * scale); }
    }
    if (mass >= b4[0] * total) { low = mid; } else { high = mid - 1u; }
  }
  cut = low;
}
var mass = 0.0;
for (var v = 0u; v < vocab; v++) {
  if (orderKey(b0[base + v]) >= cut) { mass = mass + exp((b0[base + v] - best) * scale); }
}
let aim = b1[unit] * mass;
var sum = 0.0;
var chosen = bestAt;
for (var v = 0u; v < vocab; v++) {
  if (orderKey(b0[base + v]) >= cut) {
    chosen = v;
    sum = sum + exp((b0[base + v] - best) * scale);
    if (sum > aim) { break; }
  }
}
b5[unit] = chosen;
b6[unit] = (b0[base + chosen] - best) * scale - log(mass);`,

  attention: attentionForward,
  cachedAttention,
  attentionGradient,
};

/** Functions that template bodies call. */
export const TEMPLATE_HELPERS: Readonly<Record<string, TemplateText>> = {
  sample: /* wgsl */ `
fn orderKey(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  return select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
}`,
  attention: attentionHelpers,
  cachedAttention: attentionHelpers,
  attentionGradient: attentionHelpers,
};
