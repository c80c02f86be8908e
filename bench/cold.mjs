/** The first training step of W2 in this process, from nothing: device, programs, pipelines, step. Prints JSON. */

import { SMALL, TINY } from "../dist/bench/smallModel.js";
import { trainingSetup } from "../dist/bench/trainingStep.js";
import { init } from "../dist/tensor/init.js";

const { quick, engine } = JSON.parse(process.argv[2]);
const begun = performance.now();
const backend = await init(engine);
const device = performance.now();
const setup = trainingSetup(quick ? TINY : SMALL);
const loss = await setup.step().item();
await backend.sync();
const done = performance.now();
if (!Number.isFinite(loss)) throw new Error(`bench: a finite loss expected, got ${loss}.`);
// Kilobytes on every system that Node runs on.
const peakRssBytes = process.resourceUsage().maxRSS * 1024;
console.log(JSON.stringify({ firstStepMs: done - begun, deviceMs: device - begun, peakRssBytes, loss }));
backend.destroy();
