/** Runs laid over the one on show: read from summary.json or run.json as a stranger's text, and how they differ from it. */
import type { AdapterSummary, ArmSummary } from "../../src/eval/summary.ts";
import { ConfigError } from "../../src/tensor/errors.ts";

/** What decides a run's numbers. */
export interface RunFacts {
  preset: string;
  seed: number | string;
  config: unknown;
  adapter?: Partial<AdapterSummary>;
}

export interface ComparedRun extends RunFacts {
  /** `B`, `C` and on: the run on show is A. */
  letter: string;
  /** Where it came from: a folder or a file's name. */
  from: string;
  arms: ArmSummary[];
}

export interface Difference {
  /** Place in the configuration, such as `train.learningRate`. */
  key: string;
  /** The run on show first, then the others; `–` where there is nothing. */
  values: string[];
}

const LETTERS = ["B", "C", "D", "E"];
/** A larger file is no summary. */
const MOST_BYTES = 4 << 20;
const MOST_ARMS = 64;
/** Characters of a value that are shown. */
const LONGEST_VALUE = 60;

/** No configuration has so many values, nor one so deep. */
const MOST_LEAVES = 500;
const LONGEST_PLACE = 200;

type Plain = Record<string, unknown>;
const isPlain = (value: unknown): value is Plain =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function refuse(from: string, expected: string, got: unknown): never {
  const shown =
    typeof got === "string" ? JSON.stringify(got.slice(0, 60)) : isPlain(got) ? "an object" : String(got);
  throw new ConfigError(
    `compare: ${from.slice(0, 60)}: ${expected} expected, got ${shown}. Choose the summary.json of a run.`,
  );
}

const isShare = (value: unknown): value is number => typeof value === "number" && value >= 0 && value <= 1;

/** An arm of a file, only what is shown and only as it should be. */
function readArm(from: string, arm: unknown): ArmSummary {
  if (!isPlain(arm)) return refuse(from, "an arm", arm);
  const { name, passAtK, intervals, entropy, updates, weightsSha256 } = arm;
  if (typeof name !== "string" || name.length > 80) return refuse(from, "an arm's name", name);
  if (!isPlain(passAtK)) return refuse(from, `passAtK of ${name}`, passAtK);
  const shares = Object.entries(passAtK).map(([k, share]): [string, number] => {
    if (!/^[1-9]\d{0,6}$/.test(k) || !isShare(share))
      return refuse(from, `Pass@k of ${name} in [0, 1]`, `${k}: ${share}`);
    return [k, share];
  });
  const isAmount = (value: unknown): value is number => Number.isFinite(value) && (value as number) >= 0;
  if (!isAmount(entropy) || !isAmount(updates))
    return refuse(from, `entropy and updates of ${name}`, isAmount(entropy) ? updates : entropy);
  if (typeof weightsSha256 !== "string" || !/^[0-9a-f]{64}$/.test(weightsSha256))
    return refuse(from, `weightsSha256 of ${name}`, weightsSha256);
  const ends = Object.entries(isPlain(intervals) ? intervals : {}).flatMap(([k, pair]) =>
    Array.isArray(pair) && pair.length === 2 && pair.every(isShare)
      ? [[k, [pair[0], pair[1]] as [number, number]] as const]
      : [],
  );
  return {
    name,
    passAtK: Object.fromEntries(shares),
    intervals: Object.fromEntries(ends),
    entropy,
    updates,
    weightsSha256,
    rolloutTokens: 0,
    trainSeconds: 0,
    rolloutSeconds: 0,
  };
}

/** A run from the text of its summary.json, or of the run.json of an unfinished one. Throws `ConfigError`. */
export function readRun(text: string, from: string): Omit<ComparedRun, "letter"> {
  if (text.length > MOST_BYTES) return refuse(from, `at most ${MOST_BYTES} characters`, text.length);
  let file: unknown;
  try {
    file = JSON.parse(text);
  } catch {
    return refuse(from, "JSON", text);
  }
  if (!isPlain(file)) return refuse(from, "an object", file);
  // run.json keeps what decides the numbers in `identity`, and its arms by name.
  const facts = isPlain(file.identity) ? file.identity : file;
  const given = isPlain(file.arms)
    ? Object.values(file.arms).map((arm) => (isPlain(arm) ? arm.summary : arm))
    : file.arms;
  if (!Array.isArray(given) || given.length === 0 || given.length > MOST_ARMS)
    return refuse(from, `1 to ${MOST_ARMS} arms`, Array.isArray(given) ? given.length : given);
  const { preset, seed, config, adapter } = facts;
  return {
    from,
    preset: typeof preset === "string" ? preset.slice(0, LONGEST_VALUE) : "?",
    seed: typeof seed === "number" ? seed : typeof seed === "string" ? seed.slice(0, LONGEST_VALUE) : "?",
    config,
    adapter: isPlain(adapter) ? adapter : undefined,
    arms: given.map((arm) => readArm(from, arm)),
  };
}

/** Leaves of a value by their dotted place. */
function flatten(value: unknown, path: string, into: Map<string, string>): void {
  if (isPlain(value)) {
    for (const [key, part] of Object.entries(value)) {
      if (into.size >= MOST_LEAVES) return;
      const place = path === "" ? key : `${path}.${key}`;
      if (place.length <= LONGEST_PLACE) flatten(part, place, into);
    }
  } else if (value !== undefined) into.set(path, JSON.stringify(value).slice(0, LONGEST_VALUE));
}

function leaves({ preset, seed, config, adapter }: RunFacts): Map<string, string> {
  const found = new Map<string, string>();
  // Arms stand in the table.
  const { arms: _, ...rest } = isPlain(config) ? config : {};
  flatten(
    { preset, seed, ...rest, adapter: { description: adapter?.description, tier: adapter?.tier } },
    "",
    found,
  );
  return found;
}

/** Keys whose values are not the same in all runs, in order. */
export function differences(runs: readonly RunFacts[]): Difference[] {
  const all = runs.map(leaves);
  const keys = [...new Set(all.flatMap((one) => [...one.keys()]))];
  return keys
    .map((key) => ({ key, values: all.map((one) => one.get(key) ?? "–") }))
    .filter(({ values }) => values.some((value) => value !== values[0]));
}

/** The runs that are laid over the one on show. */
export class Comparison {
  runs: readonly ComparedRun[] = [];
  private readonly changed: () => void;

  constructor(changed: () => void) {
    this.changed = changed;
  }

  /** Throws `ConfigError` where the text is no run's, or where there are enough. */
  add(text: string, from: string): ComparedRun {
    const letter = LETTERS.find((one) => this.runs.every((run) => run.letter !== one));
    if (letter === undefined) {
      throw new ConfigError(
        `compare: at most ${LETTERS.length} runs beside the one on show expected, got one more. Remove one.`,
      );
    }
    const run = { ...readRun(text, from), letter };
    this.runs = [...this.runs, run].sort((a, b) => (a.letter < b.letter ? -1 : 1));
    this.changed();
    return run;
  }

  remove(from: string): void {
    if (!this.has(from)) return;
    this.runs = this.runs.filter((run) => run.from !== from);
    this.changed();
  }

  has(from: string): boolean {
    return this.runs.some((run) => run.from === from);
  }
}
