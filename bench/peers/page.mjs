/**
 * What libraries for browsers look for: `navigator.gpu` and WebGPU's constants, from the same Dawn that naysay computes with. The
 * GPU object stays in naysay's own module for the life of the process; without that Node crashes at the next collection.
 */

import { globals } from "webgpu";
import { requestGpu } from "../../dist/tensor/gpu.node.js";

/** Puts them in place; to be called before a peer is imported. */
export async function pretendPage() {
  Object.assign(globalThis, globals);
  const gpu = await requestGpu();
  const navigator = { gpu, userAgent: "Node.js", hardwareConcurrency: 1 };
  // Newer versions of Node have a navigator of their own that cannot be assigned.
  Object.defineProperty(globalThis, "navigator", { value: navigator, configurable: true, writable: true });
}
