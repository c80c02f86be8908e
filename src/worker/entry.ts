/** A worker script ready to start: `naysay/worker/entry`, or `dist/browser/worker.js` for pages without a bundler. */
import { serve } from "./serve.ts";

serve();
