/** The same run in Node: the command line, and the file that it reads. Whoever runs both can compare bits. */
import { changesOf, type Settings } from "./settings.ts";

export interface NodeCommand {
  /** `tier`: what the run here uses, so that Node uses it too. */
  line: string;
  /** Content of `run.json`; `null` where the preset says it all. */
  json: string | null;
}

export function nodeCommand(settings: Settings, tier: string | null): NodeCommand {
  const changes = changesOf(settings);
  const json = Object.keys(changes).length > 0 ? JSON.stringify(changes, null, 2) : null;
  const words = [
    ...(tier === null ? [] : [`NAYSAY_TIER=${tier}`]),
    `npx naysay experiment --preset ${settings.preset} --seed ${settings.seed}`,
    ...(json === null ? [] : ["--config run.json"]),
  ];
  return { line: words.join(" "), json };
}
