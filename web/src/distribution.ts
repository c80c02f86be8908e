/** Probabilities of the likeliest tokens at one position, before and after the update, as pairs of bars with their numbers. */
import type { ShownRow } from "../../src/worker/index.ts";
import { element } from "./dom.ts";

/** Tokens taken from the top of each of the two. */
const TOP = 6;

export interface ChosenToken {
  row: ShownRow;
  /** Position in the completion. */
  token: number;
  /** Token text by id. */
  vocab: readonly string[];
}

const percent = (p: number): string => (p * 100).toFixed(p >= 0.0995 ? 1 : 2);

/** A difference of probabilities, in per cent with its sign; `0` where it shows as none. */
export function change(difference: number): string {
  const text = Math.abs(difference * 100).toFixed(2);
  if (Number(text) === 0) return "0";
  return `${difference > 0 ? "+" : "−"}${text}`;
}

/** Entropy in nats. */
export function entropy(p: Float32Array): number {
  return p.reduce((sum, x) => (x > 0 ? sum - x * Math.log(x) : sum), 0);
}

/** Less than this is not worth a row: it shows as 0.00 %. */
const LEAST = 5e-5;

/** Ids of the likeliest tokens of either, and the drawn one; likeliest before the update first. */
export function likeliest(before: Float32Array, after: Float32Array, drawn: number): number[] {
  const top = (p: Float32Array): number[] =>
    Array.from(p.keys())
      .sort((a, b) => p[b] - p[a] || a - b)
      .slice(0, TOP)
      .filter((id) => p[id] >= LEAST);
  return [...new Set([...top(before), ...top(after), drawn])].sort((a, b) => before[b] - before[a] || a - b);
}

export function drawDistribution(panel: HTMLElement, chosen: ChosenToken | null): void {
  if (chosen === null) {
    panel.replaceChildren(
      element(
        "p",
        { class: "hint" },
        "Choose a token: its rivals, before and after the update, appear here.",
      ),
    );
    return;
  }
  const { row, token, vocab } = chosen;
  const size = row.before.length / row.tokens.length;
  const before = row.before.subarray(token * size, (token + 1) * size);
  const after = row.after.subarray(token * size, (token + 1) * size);
  const drawn = row.tokens[token];
  const ids = likeliest(before, after, drawn);
  const context = [...row.prompt.filter((text) => text !== "BOS"), ...row.completion.slice(0, token)].join(
    " ",
  );
  panel.replaceChildren(
    element(
      "p",
      {},
      "After ",
      element("code", {}, context),
      " came ",
      element("code", {}, vocab[drawn] ?? `#${drawn}`),
      ".",
    ),
    legend(),
    distributionTable({ ids, before, after, vocab, drawn }),
    element(
      "p",
      { class: "hint" },
      `At temperature 1; the drawn token is underlined. Entropy here ${entropy(before).toFixed(3)} → ${entropy(after).toFixed(3)} nats.`,
    ),
  );
}

/** Which bar is which. */
export function legend(): HTMLElement {
  return element(
    "p",
    { class: "hint legend" },
    element("span", { class: "bar-key" }),
    " before ",
    element("span", { class: "bar-key after" }),
    " after the update, in per cent",
  );
}

export interface TableData {
  /** Tokens to show; all others are one row. */
  ids: readonly number[];
  /** [V] probabilities; without `after` only these are shown. */
  before: Float32Array;
  after?: Float32Array;
  vocab: readonly string[];
  drawn: number;
}

export function distributionTable({ ids, before, after, vocab, drawn }: TableData): HTMLTableElement {
  const scale = Math.max(...ids.map((id) => Math.max(before[id], after?.[id] ?? 0)), 1e-9);
  const rest = (p: Float32Array): number => Math.max(0, 1 - ids.reduce((sum, id) => sum + p[id], 0));
  const rows = ids.map((id) => tokenRow(vocab[id] ?? `#${id}`, before[id], after?.[id], scale, id === drawn));
  const others = tokenRow("others", rest(before), after && rest(after), scale, false);
  const head = (text: string): HTMLElement => element("th", { scope: "col" }, text);
  const heads = after ? [head("before"), head("after"), head("change")] : [head("chance")];
  const caption = after
    ? "Probabilities in per cent, before and after the update"
    : "Probabilities in per cent";
  return element(
    "table",
    {},
    element("caption", { class: "unseen" }, caption),
    element("thead", {}, element("tr", {}, head("token"), element("td", { class: "bars" }), ...heads)),
    element("tbody", {}, ...rows, others),
  );
}

function tokenRow(
  text: string,
  before: number,
  after: number | undefined,
  scale: number,
  drawn: boolean,
): HTMLTableRowElement {
  const bar = (p: number): HTMLElement => {
    const made = element("span");
    made.style.width = `${Math.min(100, (p / scale) * 100).toFixed(1)}%`;
    return made;
  };
  const moved = after === undefined ? "" : change(after - before);
  return element(
    "tr",
    { class: drawn ? "drawn" : null },
    element("th", { scope: "row" }, text, drawn ? element("span", { class: "unseen" }, " (drawn)") : null),
    element(
      "td",
      { class: "bars", "aria-hidden": "true" },
      bar(before),
      after === undefined ? null : bar(after),
    ),
    element("td", {}, percent(before)),
    after === undefined ? null : element("td", {}, percent(after)),
    after === undefined
      ? null
      : element("td", { class: moved === "0" ? null : after > before ? "rise" : "fall" }, moved),
  );
}
