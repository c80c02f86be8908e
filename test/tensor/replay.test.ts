/**
 * Replay: programs run in the order asked for, whatever is read, written or released meanwhile, and never write over
 * what a caller still holds. A model-based test plays random sequences on the GPU and on the reference backend.
 */

import { beforeAll, describe, expect, test, vi } from "vitest";
import type { GpuStorage } from "../../src/tensor/buffers.ts";
import { gridOf } from "../../src/tensor/codegen/kernel.ts";
import { assign, compile } from "../../src/tensor/compile.ts";
import { tensor } from "../../src/tensor/create.ts";
import { init } from "../../src/tensor/init.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import { philox } from "../../src/tensor/random.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import type { WebGpuBackend } from "../../src/tensor/webgpu.ts";

const N = 37;

/** Random whole numbers from a seed: the same sequence on every backend. */
function dice(seed: number): (below: number) => number {
  let i = 0;
  return (below) => philox([i++, 0, 0, 0], [seed, 0])[0] % below;
}

/** Programs over whole numbers, exact in f32: each bounded, so that long chains stay exact. */
function programs() {
  const bounded = (x: Tensor): Tensor => ops.maximum(ops.minimum(x, 1000), -1000);
  return [
    compile((a: Tensor, b: Tensor) => bounded(ops.add(a, b))),
    compile((a: Tensor, b: Tensor) => bounded(ops.sub(ops.mul(a, 2), b))),
    compile((a: Tensor, b: Tensor) => ops.add(ops.max(a), ops.minimum(b, 5))),
    compile((a: Tensor, b: Tensor) => {
      const first = ops.slice(a, [0], [20]);
      return ops.concat([ops.slice(b, [20], [N]), first], 0);
    }),
    compile((a: Tensor, b: Tensor) =>
      bounded(ops.sum(ops.mul(ops.reshape(ops.sub(a, b), [1, N]), ops.reshape(b, [N, 1])), 0)),
    ),
  ] as const;
}

/** Plays `moves` random moves on the current backend; what was read, in the order in which reads were asked for. */
async function play(seed: number, moves: number): Promise<number[][]> {
  const roll = dice(seed);
  const values = (): number[] => Array.from({ length: N }, () => roll(41) - 20);
  const runs = programs();
  const addTo = compile(
    (s: Tensor, x: Tensor) => {
      const old = ops.mul(s, 1);
      assign(s, ops.maximum(ops.minimum(ops.add(s, x), 500), -500));
      return old;
    },
    { state: [0] },
  );
  const live: Tensor[] = [tensor(values()), tensor(values())];
  const state = tensor(values());
  const reads: Promise<ArrayLike<number>>[] = [];
  const pick = (): Tensor => live[roll(live.length)];
  for (let i = 0; i < moves; i++) {
    const move = roll(12);
    if (move < 4) live.push(runs[roll(runs.length)](pick(), pick()));
    else if (move < 6) live.push(addTo(state, pick()));
    else if (move === 6) pick().write(values());
    else if (move === 7) state.write(values());
    else if (move < 10) reads.push((roll(3) === 0 ? state : pick()).data());
    else if (move === 10 && live.length > 2) live.splice(roll(live.length), 1)[0].dispose();
    else if (roll(4) === 0) await Promise.all(reads);
    // Few are held at a time, so that the pool hands buffers out again and again.
    while (live.length > 6) live.splice(roll(live.length), 1)[0].dispose();
  }
  for (const t of [...live, state]) reads.push(t.data());
  const out = (await Promise.all(reads)).map((x) => Array.from(x));
  for (const t of [...live, state]) t.dispose();
  for (const p of [...runs, addTo]) p.dispose();
  return out;
}

let b: WebGpuBackend;
beforeAll(async () => {
  b = await init();
});

describe("random sequences of run, write, read and dispose", () => {
  const SEEDS = [1, 2, 3, 4, 5, 6, 7, 8];

  test.each(SEEDS)("seed %i gives what the reference backend gives", async (seed) => {
    await init({ device: "reference" });
    const want = await play(seed, 150);
    b = await init();
    const before = b.memory().liveBytes;
    expect(await play(seed, 150), `seed ${seed}`).toEqual(want);
    expect(b.memory().liveBytes).toBe(before);
    b.destroy();
  });

  test("and leaves the words around every tensor alone", async () => {
    b = await init({ guardWords: true });
    const kept = tensor([1, 2, 3]);
    await play(9, 60);
    expect(await b.checkGuards()).toEqual([]);
    expect(b.pool.guarded.size).toBe(1);
    kept.dispose();
    b.destroy();
    b = await init();
  });
});

test("a result that is held stays as it is, however often the program runs", async () => {
  const f = compile((x: Tensor, k: number) => ops.mul(x, k));
  const x = tensor([1, 2, 3]);
  const held = Array.from({ length: 5 }, (_, i) => f(x, i));
  for (let i = 5; i < 50; i++) f(x, i).dispose();
  for (let i = 0; i < 5; i++) expect(Array.from(await held[i].data())).toEqual([i, 2 * i, 3 * i]);
  for (const t of [...held, x]) t.dispose();
});

test("released results go back to the pool, which hands them out again", async () => {
  const f = compile((x: Tensor) => ops.add(x, 1));
  const x = tensor(new Float32Array(500));
  const first = f(x);
  const buffer = (first.storage as GpuStorage).buffer;
  await b.sync();
  first.dispose();
  const second = f(x);
  expect((second.storage as GpuStorage).buffer).toBe(buffer);
  second.dispose();
  x.dispose();
});

test("many runs asked for while pipelines compile come in order", async () => {
  b.destroy();
  b = await init();
  const append = compile((s: Tensor, digit: number) => assign(s, ops.add(ops.mul(s, 2), digit)), {
    state: [0],
  });
  const read = compile((s: Tensor) => ops.add(s, 0.5));
  const s = tensor([0]);
  const seen: Promise<number>[] = [];
  for (let i = 0; i < 16; i++) {
    append(s, i % 2);
    seen.push(read(s).item());
  }
  let value = 0;
  const want = Array.from({ length: 16 }, (_, i) => {
    value = 2 * value + (i % 2);
    return value + 0.5;
  });
  expect(await Promise.all(seen)).toEqual(want);
});

test("more bind groups than are kept are made again and stay right", async () => {
  const f = compile((x: Tensor) => ops.mul(x, 3));
  const xs = Array.from({ length: 80 }, (_, i) => tensor([i]));
  for (let round = 0; round < 2; round++) {
    const ys = xs.map((x) => f(x));
    const got = await Promise.all(ys.map((y) => y.item()));
    expect(got).toEqual(xs.map((_, i) => 3 * i));
    for (const y of ys) y.dispose();
  }
  for (const x of xs) x.dispose();
});

test("a failed bind group is not taken for the last one", async () => {
  const f = compile((s: Tensor, x: Tensor) => assign(s, ops.add(s, ops.sum(x))), { state: [0] });
  const [s, x] = [tensor([1, 2]), tensor([3, 4])];
  f(s, x);
  expect(Array.from(await s.data())).toEqual([8, 9]);
  expect(() => f(s, s)).toThrow(/twice/);
  f(s, x);
  expect(Array.from(await s.data())).toEqual([15, 16]);
});

describe("options for tests", () => {
  test("maxGroups folds grids and changes no bit", async () => {
    const work = async (): Promise<number[][]> => {
      const x = tensor(
        Float32Array.from({ length: 45 * 44 }, (_, i) => (i % 23) - 11),
        { shape: [45, 44] },
      );
      const long = ops.reshape(x, [10, 198]);
      const out = [ops.mul(x, 3), ops.sum(x, 1), ops.sum(long, 1), ops.matmul(x, ops.permute(x, [1, 0]))];
      return Promise.all(out.map(async (t) => Array.from(await t.data())));
    };
    b.destroy();
    b = await init();
    const want = await work();
    b.destroy();
    b = await init({ maxGroups: 3 });
    const { gpu } = b.device;
    const grids: number[] = [];
    const create = gpu.createCommandEncoder.bind(gpu);
    vi.spyOn(gpu, "createCommandEncoder").mockImplementation((d) => {
      const encoder = create(d);
      const begin = encoder.beginComputePass.bind(encoder);
      vi.spyOn(encoder, "beginComputePass").mockImplementation((p) => {
        const pass = begin(p);
        const dispatch = pass.dispatchWorkgroups.bind(pass);
        vi.spyOn(pass, "dispatchWorkgroups").mockImplementation((x, y, z) => {
          grids.push(x);
          dispatch(x, y, z);
        });
        return pass;
      });
      return encoder;
    });
    expect(await work()).toEqual(want);
    expect(Math.max(...grids)).toBe(3);
    expect(() => gridOf(3 * 65535 + 1, 3)).toThrow(/at most 196605 workgroups were expected, got 196606/);
    vi.restoreAllMocks();
    b.destroy();
    b = await init();
  });

  test("checkGuards names a tensor whose neighbourhood was written over", async () => {
    b.destroy();
    b = await init({ guardWords: true });
    const [x, y] = [tensor([1, 2, 3, 4]), tensor([5, 6, 7, 8])];
    const { buffer, offset, bytes } = y.storage as GpuStorage;
    expect(await b.checkGuards()).toEqual([]);
    b.device.queue.writeBuffer(buffer, offset + bytes, new Uint32Array([7]));
    expect(await b.checkGuards()).toEqual([`${buffer.label} word 4 (of 4)`]);
    b.device.queue.writeBuffer((x.storage as GpuStorage).buffer, offset - 4, new Uint32Array([7]));
    expect((await b.checkGuards()).sort()[0]).toMatch(/word -1 \(of 4\)|word 4 \(of 4\)/);
    expect((await b.checkGuards()).length).toBe(2);
    expect(Array.from(await y.data())).toEqual([5, 6, 7, 8]);
    b.destroy();
    b = await init();
  });
});
