/** Waiting for the GPU leaves the processor to others, and nobody else's `setImmediate` is another. */

import { promisify } from "node:util";
import { expect, test, vi } from "vitest";
import { compile } from "../../src/tensor/compile.ts";
import { tensor } from "../../src/tensor/create.ts";
import { init } from "../../src/tensor/init.ts";
import { ops } from "../../src/tensor/ops/index.ts";
import { pollGently } from "../../src/tensor/pollGently.node.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";

/** A native function without a name, as Dawn's are. */
function native(f: () => void): () => void {
  return Object.defineProperty(f.bind(null), "name", { value: "" });
}

/** A promise's `resolve`. */
function resolveOf(): () => void {
  let found = (): void => {};
  void new Promise<void>((resolve) => {
    found = resolve;
  });
  return found;
}

test("Dawn polls a few times a millisecond while a long product is computed", async () => {
  const b = await init({ timestamps: false });
  const x = tensor(new Float32Array(512 * 512).fill(1e-3), { shape: [512, 512] });
  const f = compile((t: Tensor) => ops.sum(ops.matmul(ops.matmul(ops.matmul(t, t), t), t)));
  await f(x).item(); // its kernels are compiled
  const polls = vi.spyOn(globalThis, "setImmediate");
  const begun = performance.now();
  await f(x).item();
  const ms = performance.now() - begun;
  const count = polls.mock.calls.length;
  polls.mockRestore();
  console.log(`${count} polls in ${ms.toFixed(0)} ms`);
  // None at all: Dawn waits in another way, and this file has nothing to do any more.
  expect(count).toBeGreaterThan(0);
  // By itself Dawn polls 25 to 60 times a millisecond; a first moment is polled like that.
  expect(count).toBeLessThan(60 + 11 * ms);
  b.destroy();
});

test("other callers get the original: at once, with arguments, results, cancelling and promises", async () => {
  const made: unknown[] = [];
  const original = Object.assign((f: () => void, ...args: unknown[]) => made.push([f, ...args]), {
    [promisify.custom]: () => "promised",
  });
  const target = { setImmediate: original as unknown };
  pollGently(target);
  const gentle = target.setImmediate as typeof original;
  expect(gentle).not.toBe(original);
  pollGently(target);
  expect(target.setImmediate).toBe(gentle);
  const callers: [() => void, ...unknown[]][] = [
    [() => {}],
    [function named() {}],
    [native(() => {}), 1],
    [(() => {}).bind(null)],
    // What `await new Promise((resolve) => setImmediate(resolve))` passes: native and without a name, too.
    [resolveOf()],
  ];
  for (const [i, call] of callers.entries()) expect(gentle(...call)).toBe(i + 1);
  expect(made).toEqual(callers);
  expect(promisify(gentle)).toBe(original[promisify.custom]);
  expect(await promisify(setImmediate)("x")).toBe("x");
  const never = vi.fn();
  clearImmediate(setImmediate(never));
  await new Promise((resolve) => setImmediate(resolve));
  expect(never).not.toHaveBeenCalled();
});

test("a wait is polled eagerly at first, then with a sleep in the turn itself; a new wait begins anew", () => {
  let clock = 1000;
  const now = vi.spyOn(performance, "now").mockImplementation(() => clock);
  const slept = vi.spyOn(Atomics, "wait");
  const turns: (() => void)[] = [];
  const target = { setImmediate: (f: () => void) => turns.push(f) };
  pollGently(target);
  slept.mockClear(); // it tries whether it may
  let called = 0;
  const poll = native(() => {
    called++;
  });
  /** The sleeps of the turn that is asked for at a time, ms; none where the poll is handed on as it is. */
  const sleeps = (at: number): unknown[] => {
    clock = 1000 + at;
    target.setImmediate(poll);
    expect(slept).not.toHaveBeenCalled();
    (turns.pop() as () => void)();
    const lengths = slept.mock.calls.map((call) => call[3]);
    slept.mockClear();
    return lengths;
  };
  try {
    expect([0, 0.5, 0.99].map(sleeps)).toEqual([[], [], []]);
    expect([1.01, 1.9, 2.7, 3.6].map(sleeps)).toEqual([[0.1], [0.1], [0.1], [0.1]]);
    expect([4.7, 5.6, 5.8].map(sleeps)).toEqual([[], [], [0.1]]);
    expect(called).toBe(10);
    // A thousandth of a long wait, and at most a millisecond.
    const long = Array.from({ length: 2000 }, (_, i) => sleeps(100 + 0.9 * i));
    expect(long[100]).toEqual([0.1]);
    expect((long[600] as number[])[0]).toBeCloseTo(0.54, 5);
    expect(long[1999]).toEqual([1]);
  } finally {
    now.mockRestore();
    slept.mockRestore();
  }
});
