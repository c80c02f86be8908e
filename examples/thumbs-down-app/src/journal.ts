/** What the page remembers beside the weights: every rejected name, and what each update did. Plain JSON. */

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

export function fromBytes(bytes: Uint8Array): Journal {
  return JSON.parse(new TextDecoder().decode(bytes)) as Journal;
}
