import { beforeAll, describe, expect, test } from "vitest";
import { FlatTensors, flatLayout } from "../../src/tensor/create.ts";
import { AdamW, type AdamWStep, globalNorm } from "../../src/tensor/optim.ts";
import { type TestBackend, useBackend } from "../helpers/backend.ts";

let on: TestBackend;
beforeAll(async () => {
  on = await useBackend();
});

/** Two segments, the first longer than a row of the norm. */
function make() {
  const layout = flatLayout(
    [
      { name: "a", shape: [50, 60] },
      { name: "b", shape: [70] },
      { name: "c", shape: [40, 64] },
    ],
    3200,
  );
  expect(layout.segments.length).toBe(2);
  const params = new FlatTensors(layout, "p");
  const values = { a: new Float32Array(3000), b: new Float32Array(70), c: new Float32Array(2560) };
  for (const [name, x] of Object.entries(values)) {
    for (let i = 0; i < x.length; i++) x[i] = Math.fround((((i * 37 + name.charCodeAt(0)) % 101) - 50) / 40);
    params.get(name).write(x);
  }
  return { params, values, optimizer: new AdamW(params) };
}

test("steps, decay and clipping as written out in float64", async () => {
  const { params, values, optimizer } = make();
  const [b1, b2, lr, decay, maxNorm, scale] = [0.9, 0.95, 0.01, 0.1, 1.5, 0.25];
  const p = Object.fromEntries(Object.entries(values).map(([k, x]) => [k, Float64Array.from(x)]));
  const m = Object.fromEntries(Object.entries(p).map(([k, x]) => [k, new Float64Array(x.length)]));
  const v = Object.fromEntries(Object.entries(p).map(([k, x]) => [k, new Float64Array(x.length)]));
  for (let step = 1; step <= 3; step++) {
    const g = Object.fromEntries(
      Object.entries(p).map(([k, x]) => [k, Float32Array.from(x, (_, i) => ((i * step) % 7) - 3)]),
    );
    for (const k of Object.keys(g)) optimizer.grads.get(k).write(g[k]);
    const norm =
      scale * Math.sqrt(Object.values(g).reduce((s, x) => s + x.reduce((t, y) => t + y * y, 0), 0));
    const given = {
      lr,
      step,
      beta1: b1,
      beta2: b2,
      weightDecay: decay,
      maxGradNorm: maxNorm,
      gradScale: scale,
    };
    using seen = optimizer.step(given);
    expect(Math.abs((await seen.item()) / norm - 1)).toBeLessThan(on.tolerance(1e-12, 1e-6));
    const factor = scale * Math.min(1, maxNorm / (norm + 1e-6));
    for (const k of Object.keys(p)) {
      for (let i = 0; i < p[k].length; i++) {
        const x = g[k][i] * factor;
        m[k][i] = b1 * m[k][i] + (1 - b1) * x;
        v[k][i] = b2 * v[k][i] + (1 - b2) * x * x;
        if (k !== "b") p[k][i] -= lr * decay * p[k][i];
        p[k][i] -= (lr / (1 - b1 ** step)) * (m[k][i] / (Math.sqrt(v[k][i] / (1 - b2 ** step)) + 1e-8));
      }
    }
  }
  for (const k of Object.keys(p)) {
    const got = await params.get(k).data();
    const worst = Math.max(...p[k].map((x, i) => Math.abs(x - got[i])));
    expect(worst, k).toBeLessThan(on.tolerance(1e-12, 1e-5));
    expect((await optimizer.grads.get(k).data()).every((x) => x === 0)).toBe(true);
  }
  expect(optimizer.programs).toBe(1);
});

test("a gradient of zeros moves nothing but what decays; padding stays 0", async () => {
  const { params, values, optimizer } = make();
  using norm = optimizer.step({ lr: 0.1, step: 1, weightDecay: 0 });
  expect(await norm.item()).toBe(0);
  expect(Array.from(await params.get("a").data())).toEqual(Array.from(values.a));
  using all = globalNorm(params.flat);
  const squares = Object.values(values).reduce((s, x) => s + x.reduce((t, y) => t + y * y, 0), 0);
  expect(Math.abs((await all.item()) / Math.sqrt(squares) - 1)).toBeLessThan(1e-6);
});

describe("refused before anything runs", () => {
  test.each<[string, Partial<AdamWStep>]>([
    ["lr", { lr: Number.NaN }],
    ["lr", { lr: -1 }],
    ["step", { step: 0 }],
    ["beta1", { beta1: 1 }],
    ["beta2", { beta2: Number.NaN }],
    ["eps", { eps: 0 }],
    ["weightDecay", { weightDecay: -1 }],
    ["maxGradNorm", { maxGradNorm: 0 }],
    ["gradScale", { gradScale: Number.POSITIVE_INFINITY }],
  ])("%s %o", (name, change) => {
    const { optimizer } = make();
    const step = () => optimizer.step({ lr: 1e-3, step: 1, ...change });
    expect(step).toThrow(new RegExp(`adamw: ${name}: `));
    expect(step).toThrow(expect.objectContaining({ name: "ConfigError" }));
    expect(optimizer.programs).toBe(0);
  });
});
