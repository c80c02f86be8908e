/** Trains ten NSR updates in a worker and prints what happens. `?tier=T0` forces a lower capability tier. */
import baseUrl from "naysay/assets/quick-base.safetensors?url";
import { connect } from "naysay/worker";
import { element, print, show } from "./show.ts";

const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });

try {
  const tier = new URLSearchParams(location.search).get("tier");
  const naysay = await connect(worker, tier === "T0" ? { tier } : {});
  element("adapter").textContent = show(naysay.info.adapter);

  const run = naysay.experiment({
    preset: "quick",
    changes: {
      arms: ["nsr"],
      train: { steps: 10, promptsPerStep: 8, numGenerations: 4, microBatchRows: 32 },
      evaluation: { prompts: 8, samples: 32 },
      rows: 32,
      scoreRows: 32,
    },
    seed: 1,
    base: new Uint8Array(await (await fetch(baseUrl)).arrayBuffer()),
  });
  for await (const event of run) {
    if (event.kind !== "metrics") continue;
    const { update, reward, entropy } = event.row;
    print(`update ${update}: reward ${reward?.toFixed(3)}, entropy ${entropy?.toFixed(3)} nats`);
  }
  const [nsr] = (await run.result).arms;
  print(`Pass@1 ${nsr?.passAtK[1]?.toFixed(3)}, Pass@32 ${nsr?.passAtK[32]?.toFixed(3)}`);
  print(`weights ${nsr?.weightsSha256}`);
} catch (error) {
  element("adapter").textContent = (error as Error).message;
}
