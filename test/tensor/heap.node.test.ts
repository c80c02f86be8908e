/** What 10,000 replays leave on the host: nothing. Node only: a page has no collection to ask for. */

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { assign, compile } from "../../src/tensor/compile.ts";
import { tensor } from "../../src/tensor/create.ts";
import { init } from "../../src/tensor/init.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";

const REPLAYS = 10_000;

/** Bytes that are alive on the JavaScript heap and in its array buffers. */
async function alive(collect: () => void): Promise<number> {
  // Finalizers of Dawn's wrappers run in turns of their own, and free what the next collection takes.
  for (let i = 0; i < 4; i++) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

/** Bytes a replay: V8 by itself moved a window by up to 9; a replay that keeps a small object leaves 63 or more. */
const MOST_BYTES = 16;

test("10,000 replays of a small program leave the heap as it was", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const b = await init({ timestamps: false });
  const step = compile(
    (state: Tensor, y: Tensor, rate: number) => {
      assign(state, ops.add(ops.mul(state, 0.5), ops.mul(y, rate)));
      return ops.sum(ops.mul(state, y));
    },
    { state: [0], label: "small" },
  );
  const state = tensor(new Float32Array(64));
  const y = tensor(Float32Array.from({ length: 64 }, (_, i) => i));
  const kept: object[] = [];
  /** Bytes that each of `REPLAYS` replays leaves alive; with `leak` each is made to keep an object. */
  const growth = async (leak: boolean): Promise<number> => {
    const before = await alive(collect);
    for (let i = 0; i < REPLAYS; i++) {
      step(state, y, i % 3).dispose();
      if (leak) kept.push({ replay: i, at: i + 0.5 });
      if (i % 100 === 99) await b.sync();
    }
    return ((await alive(collect)) - before) / REPLAYS;
  };
  await growth(false); // optimized code and inline caches are made once
  const memory = b.memory();
  // V8 itself makes and drops 100 kB of code now and then; what a replay leaves is left in every window.
  const windows: number[] = [];
  while (windows.length < 3 && !(Math.min(...windows) < MOST_BYTES)) windows.push(await growth(false));
  const leaking = [await growth(true), await growth(true)];
  const text = (bytes: number[]) => bytes.map((x) => x.toFixed(1)).join(", ");
  console.log(`heap: ${text(windows)} bytes a replay; ${text(leaking)} where each keeps an object`);
  expect(b.memory()).toEqual(memory);
  expect(Math.min(...windows)).toBeLessThan(MOST_BYTES);
  // The measure sees an object of two fields a replay.
  expect(kept.length).toBe(2 * REPLAYS);
  expect(Math.max(...leaking)).toBeGreaterThan(2 * MOST_BYTES);
  b.destroy();
});
