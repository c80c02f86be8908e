/**
 * What libraries for browsers look for: `navigator.gpu` and WebGPU's constants, from the same Dawn that naysay computes with. The
 * GPU object stays in naysay's own module for the life of the process; without that Node crashes at the next collection.
 */

import { globals } from "webgpu";
import { requestGpu } from "../../dist/tensor/gpu.node.js";

/** `map` and `filter` of iterators, which browsers and Node 22 have and jax-js uses, where Node 20 lacks them. */
function addIteratorHelpers() {
  const prototype = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]()));
  prototype.map ??= function* (f) {
    for (const x of this) yield f(x);
  };
  prototype.filter ??= function* (f) {
    for (const x of this) if (f(x)) yield x;
  };
}

/** Puts them in place; to be called before a peer is imported. */
export async function pretendPage() {
  addIteratorHelpers();
  Object.assign(globalThis, globals);
  const gpu = await requestGpu();
  const navigator = { gpu, userAgent: "Node.js", hardwareConcurrency: 1 };
  // Newer versions of Node have a navigator of their own that cannot be assigned.
  Object.defineProperty(globalThis, "navigator", { value: navigator, configurable: true, writable: true });
}
