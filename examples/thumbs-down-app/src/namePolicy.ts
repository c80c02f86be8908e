/**
 * A policy in a worker that proposes names and learns from rejections alone. Weights and journal are kept in the
 * worker's files after each update, so that a reload goes on.
 */
import { type Completion, connect, type NaysayWorker, type WorkerPolicy } from "naysay/worker";
import { fromBytes, type Journal, newJournal, type Signs, toBytes, total, WEIGHTS } from "./journal.ts";
import { LONGEST, readsLikeAName } from "./names.js";

/** Names on the page. */
export const SHOWN = 6;
/** Names drawn in each round: those shown are the first of them, all are measured. */
const DRAWN = 64;

/**
 * Falls with the updates made, so that a few rejections are felt and hundreds do not tear the policy apart. Chosen in a
 * pilot, see README.md.
 */
const learningRate = (updates: number): number => 1e-3 / (1 + updates / 15);

const JOURNAL = "thumbs-down.json";

/** A name with its log-probability around an update, nats. */
export interface Change {
  name: string;
  rejected: boolean;
  before: number;
  after: number;
}

/** A name as it is written: one token after another. */
export interface Letters {
  row: number;
  text: string;
}

export class NamePolicy {
  readonly worker: NaysayWorker;
  journal: Journal;
  /** The names on the page. */
  shown: Completion[] = [];
  /** What the visitor should know, where something was not as expected. */
  notice: string | null = null;
  private readonly base: Uint8Array;
  /** Never learns: what the visitor began with. */
  private readonly start: WorkerPolicy;
  private policy: WorkerPolicy;

  private constructor(
    worker: NaysayWorker,
    base: Uint8Array,
    start: WorkerPolicy,
    policy: WorkerPolicy,
    journal: Journal,
  ) {
    this.worker = worker;
    this.base = base;
    this.start = start;
    this.policy = policy;
    this.journal = journal;
  }

  /** Opens the policy of the last visit, or `base`. Throws `DeviceError` where there is no WebGPU. */
  static async open(base: Uint8Array, seed: number): Promise<NamePolicy> {
    const worker = await connect(
      new Worker(new URL("./worker.ts", import.meta.url), { type: "module", name: "naysay" }),
    );
    const start = await worker.policy({ checkpoint: base, rows: DRAWN });
    const opened = new NamePolicy(worker, base, start, start, newJournal(seed));
    try {
      if ((await worker.listFiles("")).includes(JOURNAL)) {
        opened.journal = fromBytes(await worker.readFile(JOURNAL));
      }
      const { weights } = opened.journal;
      const checkpoint = weights === null ? base : await worker.readFile(weights);
      opened.policy = await worker.policy({ checkpoint, rows: DRAWN });
    } catch (cause) {
      // A damaged file must not lock the visitor out.
      opened.notice = `What was kept could not be opened, so this is a fresh start. ${(cause as Error).message}`;
      await opened.startOver(seed);
    }
    return opened;
  }

  get parameters(): number {
    return this.start.info.parameters;
  }

  /** Draws names; `onLetters` hears of those on the page as they come. */
  async propose(onLetters: (letters: Letters) => void): Promise<void> {
    const { seed, round } = this.journal;
    const drawing = this.policy.generate({
      prompts: [""],
      numGenerations: DRAWN,
      maxCompletionLength: LONGEST + 1,
      seed,
      rollout: round,
    });
    for await (const { row, text } of drawing) if (row < SHOWN) onLetters({ row, text });
    const drawn = await drawing.result;
    this.shown = drawn.slice(0, SHOWN);
    const signs = signsOf(drawn);
    this.journal.signs = { atStart: this.journal.signs.atStart ?? signs, now: signs };
  }

  /** One update from the rejected names among those shown: rewards of 0 and nothing else. */
  async learn(rejected: readonly boolean[]): Promise<Change[]> {
    const before = await this.logProbs(this.policy, this.shown);
    const no = this.shown.filter((_, i) => rejected[i]);
    const { updates } = await this.policy.learn({
      examples: no.map(({ tokens }) => ({ prompt: "", completion: tokens, reward: 0 })),
      algorithm: "nsr",
      learningRate: learningRate(this.journal.points.length),
    });
    const after = await this.logProbs(this.policy, this.shown);
    const changes = this.shown.map(({ text }, i) => ({
      name: text,
      rejected: rejected[i] === true,
      before: before[i] as number,
      after: after[i] as number,
    }));
    await this.remember(changes, updates);
    this.journal.weights = WEIGHTS[updates % 2] as string;
    await this.worker.writeFile(this.journal.weights, await this.policy.checkpoint());
    await this.turnPage();
    return changes;
  }

  /** From now on the next draw is the one to show, after a reload too. */
  async turnPage(): Promise<void> {
    this.journal.round++;
    await this.worker.writeFile(JOURNAL, toBytes(this.journal));
  }

  /** Forgets everything. */
  async startOver(seed: number): Promise<void> {
    for (const file of [JOURNAL, ...WEIGHTS]) await this.worker.removeFile(file);
    if (this.policy !== this.start) await this.policy.close();
    this.policy = await this.worker.policy({ checkpoint: this.base, rows: DRAWN });
    this.journal = newJournal(seed);
  }

  /** A safetensors file: weights, optimizer state and tokenizer. */
  download(): Promise<Uint8Array> {
    return this.policy.checkpoint();
  }

  private async remember(changes: readonly Change[], update: number): Promise<void> {
    const { rejected, points } = this.journal;
    for (const [i, { name, rejected: no, before, after }] of changes.entries()) {
      if (!no) continue;
      const known = rejected.find((entry) => entry.name === name);
      if (known) Object.assign(known, { before, after });
      else {
        const { tokens } = this.shown[i] as Completion;
        const [atStart] = (await this.logProbs(this.start, [{ tokens }])) as [number];
        rejected.push({ name, tokens, atStart, before, after, now: after });
      }
    }
    const now = await this.logProbs(this.policy, rejected);
    for (const [i, entry] of rejected.entries()) entry.now = now[i] as number;
    points.push({
      update,
      thumbs: changes.filter((change) => change.rejected).length,
      atStart: total(rejected.map((entry) => entry.atStart)),
      now: total(now),
    });
  }

  /** Log-probability of each whole name, nats. */
  private async logProbs(policy: WorkerPolicy, names: readonly { tokens: number[] }[]): Promise<number[]> {
    const scores = await policy.score({
      examples: names.map(({ tokens }) => ({ prompt: "", completion: tokens })),
    });
    return scores.map(sum);
  }
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

function signsOf(drawn: readonly Completion[]): Signs {
  return {
    drawn: drawn.length,
    distinct: new Set(drawn.map(({ text }) => text)).size,
    likeNames: drawn.filter(({ text, finished }) => finished && readsLikeAName(text)).length,
    entropy: -sum(drawn.map(({ logProbs }) => sum(logProbs))) / drawn.length,
  };
}
