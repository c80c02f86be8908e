/** `npm run bench -- curves [--time 200] [--quick] [--out prefix]`: cost curves as JSON and Markdown. */

import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { measureCurves } from "../dist/bench/curves.js";
import { curveLines, verdict } from "../dist/bench/curvesText.js";
import { planLaunch, relaunch } from "../dist/cli/launch.js";
import { init } from "../dist/tensor/init.js";
import { VERSION } from "../dist/tensor/version.js";

const RESULTS = fileURLToPath(new URL("./results/", import.meta.url));

/** A file's name for an adapter. */
function slug({ description, vendor }) {
  const text = (description || vendor).toLowerCase().replace(/[^a-z0-9]+/g, "-");
  return text.split("-").filter(Boolean).slice(0, 3).join("-");
}

/** Measures, prints the curves as they come, and writes `<out>.json` and `<out>.md`. */
export async function curves({ json, out, quick, tier, determinism, time }) {
  const plan = await planLaunch();
  if (Object.keys(plan.env).length > 0) return relaunch(plan.env);
  const backend = await init({ timestamps: false, tier, determinism });
  const { info } = backend.device;
  const before = loadavg()[0];
  const failures = [];
  const found = await measureCurves(backend, {
    time,
    quick,
    onCurve: (curve) => json || console.log(curveLines(curve).join("\n")),
    onFailure: (failure) => {
      failures.push(failure);
      if (!json) console.log(`failed: ${failure.name}: ${failure.message}`);
    },
  });
  const [{ model }] = cpus();
  const machine = { processors: cpus().length, model, load: [before, loadavg()[0]] };
  const facts = { naysay: VERSION, node: process.version, adapter: info, machine, quick, time };
  const result = { format: "naysay-curves-1", ...facts, verdict: verdict(found), curves: found, failures };
  const prefix = out ?? `${RESULTS}curves-${slug(info)}`;
  mkdirSync(dirname(prefix), { recursive: true });
  writeFileSync(`${prefix}.json`, `${JSON.stringify(result, null, 2)}\n`);
  const busy = machine.load.map((x) => x.toFixed(1)).join(" to ");
  const text = [
    `# Cost curves: ${info.description || info.vendor}, ${info.tier}`,
    "",
    `\`npm run bench -- curves\`, naysay ${VERSION}, Node ${process.version}, ${machine.processors} x ${machine.model}, load average ${busy}. Wall`,
    "time, the sizes of a curve timed in turns; ± half the distance of the quartiles over the median. A line is fitted to the lower",
    "quartiles by relative errors, because other work on the machine makes samples longer and none shorter.",
    "",
    result.verdict,
    "",
    ...found.flatMap(curveLines),
    ...failures.map(({ name, message }) => `- not measured: ${name}: ${message}`),
  ];
  writeFileSync(`${prefix}.md`, `${text.join("\n").trim()}\n`);
  console.log(json ? JSON.stringify(result, null, 2) : `${result.verdict}\n${prefix}.md`);
  backend.destroy();
  return failures.length > 0 ? 1 : 0;
}
