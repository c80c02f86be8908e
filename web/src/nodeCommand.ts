/** The same run in Node: the command line, and the file that it reads. Whoever runs both can compare bits. */
import { changesOf, type Settings, setting } from "./settings.ts";

export interface NodeCommand {
  /** `tier`: what the run here uses, so that Node uses it too. */
  line: string;
  /** Content of `run.json`; `null` where the preset says it all. */
  json: string | null;
}

/** A file name as one word of a shell. */
function word(name: string): string {
  return /^[\w.-]+$/.test(name) ? name : `'${name.replaceAll("'", "'\\''")}'`;
}

/** `base`: name of the checkpoint that the run starts from, where it is not the preset's own. */
export function nodeCommand(
  settings: Settings,
  tier: string | null,
  base: string | null = null,
): NodeCommand {
  const { checkpointEvery, ...changes } = changesOf(settings);
  // The page's own default, against reloads: it changes no number of the run.
  const kept =
    checkpointEvery === setting("checkpointEvery").fallback ? changes : { ...changes, checkpointEvery };
  const written = Object.entries(kept).filter(([, value]) => value !== undefined);
  const json = written.length > 0 ? JSON.stringify(Object.fromEntries(written), null, 2) : null;
  const words = [
    ...(tier === null ? [] : [`NAYSAY_TIER=${tier}`]),
    `npx naysay experiment --preset ${settings.preset} --seed ${settings.seed}`,
    ...(json === null ? [] : ["--config run.json"]),
    ...(base === null ? [] : [`--base ${word(base)}`]),
  ];
  return { line: words.join(" "), json };
}
