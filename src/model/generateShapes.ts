/**
 * The shapes of generation, and what is kept of them. Lengths come in buckets, so that few programs exist, and a cache of
 * keys longer than its rows changes no bit: attention walks what a query sees, counted from its row's beginning.
 *
 * How it does that depends on which side of `WHOLE_LENGTH` columns the cache is, and that is itself a bucket: up to there
 * one thread takes all keys of a query, beyond it several share them. So prompts that would alone be on different sides do not
 * decode together.
 */
import { type Compiled, compile } from "../tensor/compile.ts";
import { SEGMENT_LIMIT, zeros } from "../tensor/create.ts";
import { WHOLE_LENGTH } from "../tensor/ops/attentionShapes.ts";
import { forEachTensor, scope, type Tensor } from "../tensor/tensor.ts";
import { begin, type Draw, decode, type Layout, prefill, type RowState } from "./generateGraph.ts";
import { bucketLength } from "./sequences.ts";
import type { Parameters, Transformer } from "./transformer.ts";

/** Keys that a row may see, its prompt's among them; the last token is never run. */
export function cacheColumns(promptLength: number, maxCompletionLength: number): number {
  return bucketLength(promptLength + maxCompletionLength - 1);
}

/** Counts come in few sizes too: the least of 1, 2, 3, 4, 6, 8, 12, 16 ... that fits. */
export function bucketCount(count: number): number {
  for (let size = 1; ; size *= 2) {
    if (count <= size) return size;
    if (size >= 2 && count <= size * 1.5) return size * 1.5;
  }
}

/** Lanes that are not halved: with so few a step's time is mostly that of its dispatches. */
const FEW_LANES = 8;

/** Lanes for so many rows that are left of `rows`: halves of halves, since each count has a program of its own. */
export function laneCount(live: number, rows: number): number {
  let count = rows;
  while (count > FEW_LANES && 2 * live <= count) count = Math.ceil(count / 2);
  return count;
}

/** Prompts that may decode together. */
export interface PromptGroup {
  /** Columns of the prompts. */
  promptLength: number;
  /** Their indices, in order. */
  members: number[];
}

/** Groups prompts by what decides bits, of a prompt's own length and the request: whether its rows stay within `WHOLE_LENGTH`. */
export function promptGroups(
  prompts: readonly ArrayLike<number>[],
  request: { promptLength?: number; maxCompletionLength: number },
): PromptGroup[] {
  const { promptLength, maxCompletionLength } = request;
  const groups = new Map<boolean, PromptGroup>();
  prompts.forEach(({ length }, index) => {
    const columns = promptLength ?? bucketLength(length);
    const whole = columns + maxCompletionLength - 1 <= WHOLE_LENGTH;
    const group = groups.get(whole);
    if (!group) groups.set(whole, { promptLength: columns, members: [index] });
    else {
      group.promptLength = Math.max(group.promptLength, columns);
      group.members.push(index);
    }
  });
  return [...groups.values()];
}

interface Kept {
  readonly bytes: number;
  /** Programs built so far. */
  readonly programs: number;
  dispose(): void;
}

/** Keeps what was used last by its key; what goes beyond the bounds is released, the longest unused first. */
export class Recent<T extends Kept> {
  private readonly entries = new Map<string, T>();
  private readonly count: number;
  private readonly bytes: number;

  constructor(bounds: { count: number; bytes: number }) {
    this.count = bounds.count;
    this.bytes = bounds.bytes;
  }

  get programs(): number {
    return [...this.entries.values()].reduce((sum, { programs }) => sum + programs, 0);
  }

  /** What is kept under `key`, else what `make` gives, of so many bytes, once there is room for it. */
  get(key: string, bytes: number, make: () => T): T {
    let entry = this.entries.get(key);
    if (entry) this.entries.delete(key);
    else {
      this.makeRoom(bytes);
      entry = make();
    }
    this.entries.set(key, entry); // a Map keeps the order of insertion: the last is the one used last
    return entry;
  }

  dispose(): void {
    for (const entry of this.entries.values()) entry.dispose();
    this.entries.clear();
  }

  private makeRoom(wanted: number): void {
    let sum = [...this.entries.values()].reduce((total, { bytes }) => total + bytes, wanted);
    for (const [key, entry] of this.entries) {
      if (this.entries.size < this.count && sum <= this.bytes) return;
      sum -= entry.bytes;
      entry.dispose();
      this.entries.delete(key);
    }
  }
}

/** What lives on the device for rows in such a layout, and the programs that run them. */
export class Decoder implements Kept {
  readonly layout: Layout;
  readonly state: RowState;
  readonly prefill: Compiled<[Pick<RowState, "cache">, Parameters, Tensor, Tensor], Tensor>;
  readonly begin: Compiled<[RowState, Tensor, Tensor, Draw], undefined>;
  /** A program for each count of lanes. */
  readonly decode: Compiled<[RowState, Parameters, Tensor, Draw], undefined>;
  readonly bytes: number;

  constructor(model: Transformer, layout: Layout) {
    const { numLayers, numKeyValueHeads, headDim } = model.config;
    const { rows, tokens } = layout;
    this.layout = layout;
    this.bytes = Decoder.bytes(model, layout);
    const shape = [columnsOf(layout), 2, numKeyValueHeads, headDim];
    // In a scope: where memory does not suffice for all, none is kept.
    this.state = scope(() => ({
      cache: Array.from({ length: numLayers }, () => zeros(shape)),
      tokens: zeros([rows * tokens], "u32"),
      logProbs: zeros([rows * tokens]),
      finished: zeros([rows], "u32"),
      seen: zeros([1], "u32"),
    }));
    this.prefill = compile(
      (state: Pick<RowState, "cache">, p: Parameters, prompts: Tensor, start: Tensor) =>
        prefill(model, state, p, prompts, start),
      { state: [0], label: "prefill" },
    );
    this.begin = compile(
      (state: RowState, logits: Tensor, lanes: Tensor, draw: Draw) =>
        begin(layout, state, logits, lanes, draw),
      { state: [0], label: "begin" },
    );
    this.decode = compile(
      (state: RowState, p: Parameters, lanes: Tensor, draw: Draw) =>
        decode(layout, model, state, p, lanes, draw),
      { state: [0], label: "decode" },
    );
  }

  /** Bytes of the state. */
  static bytes(model: Transformer, layout: Layout): number {
    const { rows, tokens } = layout;
    return 4 * (model.config.numLayers * cacheSize(model, layout) + rows * (2 * tokens + 1) + 1);
  }

  get programs(): number {
    return this.prefill.programs + this.begin.programs + this.decode.programs;
  }

  dispose(): void {
    forEachTensor(this.state, (t) => t.dispose());
    this.prefill.dispose();
    this.begin.dispose();
    this.decode.dispose();
  }
}

function columnsOf({ rows, prompts, promptLength, ownLength }: Layout): number {
  return prompts * promptLength + rows * ownLength;
}

/** Elements of a layer's cache. */
export function cacheSize({ config }: Pick<Transformer, "config">, layout: Layout): number {
  return 2 * config.numKeyValueHeads * config.headDim * columnsOf(layout);
}

/** Rows, at most `rows`, whose cache of a layer is one tensor on every device, so that none decides a shape; at least one. */
export function fittingRows(
  model: Pick<Transformer, "config">,
  rows: number,
  layoutOf: (rows: number) => Layout,
): number {
  let count = rows;
  while (count > 1 && cacheSize(model, layoutOf(count)) > SEGMENT_LIMIT) count = Math.ceil(count / 2);
  return count;
}

/** Where things stand for so many rows and prompts. */
export function layoutFor(
  rows: number,
  prompts: number,
  promptLength: number,
  maxCompletionLength: number,
): Layout {
  const length = cacheColumns(promptLength, maxCompletionLength);
  return {
    rows,
    prompts,
    promptLength,
    ownLength: length - promptLength,
    tokens: bucketLength(maxCompletionLength),
    length,
  };
}
