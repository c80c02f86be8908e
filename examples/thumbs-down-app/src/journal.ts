/** What the page remembers beside the weights: every rejected name, and what each update did. Plain JSON. */

/** Files of the weights, in turn: the journal is written last and says which of them is its own. */
export const WEIGHTS = ["thumbs-down-0.safetensors", "thumbs-down-1.safetensors"];

/** A name that was rejected at least once. Log-probabilities are of the whole name, its end included, in nats. */
export interface Rejected {
  name: string;
  tokens: number[];
  /** Under the policy that the visitor began with. */
  atStart: number;
  /** Just before and just after the update that rejected it last. */
  before: number;
  after: number;
  /** Under the policy as it is. */
  now: number;
}

/** The names rejected up to an update, all in all. */
export interface Point {
  update: number;
  /** Thumbs down that made the update. */
  thumbs: number;
  /** Their total probability under the policy that the visitor began with, and under that of this update. */
  atStart: number;
  now: number;
}

/** Signs of collapse, from the names drawn last. */
export interface Signs {
  drawn: number;
  /** Different names among them. */
  distinct: number;
  /** How many read like a name. */
  likeNames: number;
  /** Entropy of a name, estimated as the mean of - log p, nats. */
  entropy: number;
}

export interface Journal {
  /** Seed of every draw. */
  seed: number;
  /** Number of the draw that is on the page. */
  round: number;
  /** File of the weights; null: those that the visitor began with. */
  weights: string | null;
  rejected: Rejected[];
  points: Point[];
  signs: { atStart: Signs | null; now: Signs | null };
}

export function newJournal(seed: number): Journal {
  return { seed, round: 0, weights: null, rejected: [], points: [], signs: { atStart: null, now: null } };
}

/** Total probability of names with these log-probabilities. */
export function total(logProbs: readonly number[]): number {
  return logProbs.reduce((sum, logProb) => sum + Math.exp(logProb), 0);
}

export function toBytes(journal: Journal): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(journal));
}

/** Throws where the bytes are no journal: a file can be damaged, or be another page's of the same origin. */
export function fromBytes(bytes: Uint8Array): Journal {
  return journal(JSON.parse(new TextDecoder().decode(bytes)), "journal");
}

/** Gives a value of JSON as what it should be, or throws; `at` says where it stands. */
type Check<T> = (value: unknown, at: string) => T;

const LONGEST_TEXT = 100;
const LONGEST_LIST = 50_000;

function check<T>(what: string, is: (value: unknown) => boolean): Check<T> {
  return (value, at) => {
    if (is(value)) return value as T;
    throw new Error(
      `${at}: ${what} expected, got ${value === null || value === undefined ? value : `another ${typeof value}`}.`,
    );
  };
}

const list =
  <T>(item: Check<T>, longest: number): Check<T[]> =>
  (value, at) => {
    const items = check<unknown[]>(
      `at most ${longest} values`,
      (v) => Array.isArray(v) && v.length <= longest,
    );
    return items(value, at).map((each, i) => item(each, `${at}[${i}]`));
  };

/** An object with these fields; others are left out. */
const object =
  <T>(fields: { [K in keyof T]: Check<T[K]> }): Check<T> =>
  (value, at) => {
    const found = check<Record<string, unknown>>("an object", (v) => typeof v === "object" && v !== null);
    const given = found(value, at);
    const entries = Object.entries<Check<unknown>>(fields);
    return Object.fromEntries(entries.map(([key, field]) => [key, field(given[key], `${at}.${key}`)])) as T;
  };

const orNull =
  <T>(item: Check<T>): Check<T | null> =>
  (value, at) =>
    value === null ? null : item(value, at);

const finite = check<number>("a finite number", Number.isFinite);
const share = check<number>("a finite number of at least 0", (v) => Number.isFinite(v) && (v as number) >= 0);
const count = check<number>("a whole number", (v) => Number.isSafeInteger(v) && (v as number) >= 0);
const text = check<string>(
  `at most ${LONGEST_TEXT} characters`,
  (v) => typeof v === "string" && v.length <= LONGEST_TEXT,
);
const signs = object<Signs>({ drawn: count, distinct: count, likeNames: count, entropy: finite });

const journal = object<Journal>({
  seed: count,
  round: count,
  weights: orNull(check<string>(`one of ${WEIGHTS.join(", ")}`, (v) => WEIGHTS.includes(v as string))),
  rejected: list(
    object<Rejected>({
      name: text,
      tokens: list(count, LONGEST_TEXT),
      atStart: finite,
      before: finite,
      after: finite,
      now: finite,
    }),
    LONGEST_LIST,
  ),
  points: list(object<Point>({ update: count, thumbs: count, atStart: share, now: share }), LONGEST_LIST),
  signs: object<Journal["signs"]>({ atStart: orNull(signs), now: orNull(signs) }),
});
