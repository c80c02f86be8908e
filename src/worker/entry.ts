/**
 * A worker script ready to start: `naysay/worker/entry`, or `dist/browser/worker.js` for pages without a bundler. Node has
 * its own, `entry.node.ts`, under the same name.
 */
import { serve } from "./serve.ts";

// A main thread without one has nobody to serve: the module may be imported there, and does nothing.
if ("addEventListener" in globalThis) serve();
