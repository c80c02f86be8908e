/** The engine, in a thread of its own: everything heavy happens here and the page never waits for it. */
import { serve } from "../../src/worker/serve.ts";

serve();
