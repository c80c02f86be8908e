/**
 * Dawn's bindings for Node ask for news of the GPU in a loop of `setImmediate` as long as anything is awaited: a core at full
 * load, 60 turns a millisecond, each of which makes garbage. Where the processor computes as well, that core is missing there.
 * Measured on SwiftShader and two cores: a short experiment took 24 s of CPU time, half of it in this loop and in the collection
 * of its garbage, and 14 s with the loop below.
 */

/** What Dawn passes: a native function without a name and without parameters (a promise's `resolve` has one). */
const NATIVE = "function () { [native code] }";
/** A wait shorter than this, ms, is polled as fast as the loop turns. */
const EAGER = 1;
/** Then each turn sleeps first, ms: at most so much later is news taken, and other work of the process done. */
const SLEEP = 0.1;
/** In a long wait (a driver that compiles) a thousandth of what it has taken, up to so many ms. */
const MOST_SLEEP = 1;
/** Polls further apart than this, ms, belong to two waits. */
const APART = 1;

type Immediate = (callback: (...args: never[]) => void, ...args: unknown[]) => NodeJS.Immediate;

const installed = new WeakSet<object>();

/** Makes Dawn's loop sleep between its turns; everything else that calls `setImmediate` gets what it always got. */
export function pollGently(target: { setImmediate: unknown } = globalThis): void {
  if (installed.has(target)) return;
  const original = target.setImmediate as Immediate;
  const word = new Int32Array(new SharedArrayBuffer(4));
  try {
    Atomics.wait(word, 0, 0, 0);
  } catch {
    return; // a thread that must not block
  }
  let begun = 0;
  let last = Number.NEGATIVE_INFINITY;
  const gentle: Immediate = (callback, ...args) => {
    const fromDawn =
      args.length === 0 &&
      callback.length === 0 &&
      callback.name === "" &&
      Function.prototype.toString.call(callback) === NATIVE;
    if (!fromDawn) return original(callback, ...args);
    const now = performance.now();
    if (now - last > APART) begun = now;
    last = now;
    if (now - begun < EAGER) return original(callback);
    const sleep = Math.min(MOST_SLEEP, Math.max(SLEEP, (now - begun) / 1000));
    // In the turn itself: what has been waiting for the last news goes first, and may hand on work.
    return original(() => {
      Atomics.wait(word, 0, 0, sleep);
      last = performance.now();
      callback();
    });
  };
  // With what stands on it, as `util.promisify` does.
  target.setImmediate = Object.defineProperties(gentle, Object.getOwnPropertyDescriptors(original));
  installed.add(target);
}
