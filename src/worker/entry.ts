/** A worker script ready to start: `new Worker(new URL("naysay/worker/entry", import.meta.url), { type: "module" })`. */
import { serve } from "./serve.ts";

serve();
