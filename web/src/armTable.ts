/** The table of arms: Pass@k, entropy, updates and the hash of the weights; what is not there yet says what it waits for. */
import type { ArmSummary } from "../../src/eval/summary.ts";
import { armKey } from "./armLook.ts";
import type { Comparison } from "./comparison.ts";
import { copyButton } from "./copyButton.ts";
import { byId, element, scrollRegion } from "./dom.ts";
import type { RunData } from "./runData.ts";

/** Ks that the table shows: these where they were measured, and the largest. */
const WANTED = [1, 16, 256];

function shownKs(summaries: readonly ArmSummary[]): number[] {
  const ks = [...new Set(summaries.flatMap(({ passAtK }) => Object.keys(passAtK).map(Number)))].sort(
    (a, b) => a - b,
  );
  if (ks.length === 0) return WANTED;
  return ks.filter((k) => WANTED.includes(k) || k === ks[ks.length - 1]);
}

const percent = (value: number): string => (value * 100).toFixed(1);

/** Keeps its rows: one is made anew only when it says something else, so that focus and selection stay. */
export class ArmTable {
  private readonly data: RunData;
  private readonly comparison: Comparison;
  private readonly head = element("thead");
  private readonly body = element("tbody");
  private rows = new Map<string, { says: string; row: HTMLTableRowElement }>();
  private heads = "";

  constructor(data: RunData, comparison: Comparison) {
    this.data = data;
    this.comparison = comparison;
    byId("arms", HTMLTableElement).replaceChildren(this.head, this.body);
    scrollRegion(byId("arms-scroll", HTMLElement), "Table of arms");
  }

  draw(): void {
    const { data } = this;
    const own = data.arms.flatMap((arm) => data.summaries.get(arm) ?? []);
    const others = this.comparison.runs.flatMap(({ letter, arms }) => arms.map((arm) => ({ letter, arm })));
    const ks = shownKs([...own, ...others.map(({ arm }) => arm)]);
    const heads = ["Arm", ...ks.map((k) => `Pass@${k}, %`), "Entropy, nats", "Updates", "weightsSha256"];
    if (heads.join() !== this.heads) {
      this.heads = heads.join();
      this.rows.clear();
      this.head.replaceChildren(
        element("tr", {}, ...heads.map((head) => element("th", { scope: "col" }, head))),
      );
    }
    const before = this.rows;
    this.rows = new Map(
      data.arms.map((arm) => {
        const sha = data.summaries.get(arm)?.weightsSha256;
        const says = sha ?? `${waitText(arm, data)} ${data.done(arm)}`;
        const old = before.get(arm);
        return [arm, old?.says === says ? old : { says, row: armRow(arm, ks, data) }];
      }),
    );
    for (const { letter, arm } of others) {
      const key = `${arm.name}\n${letter}`;
      const old = before.get(key);
      const says = arm.weightsSha256;
      this.rows.set(key, old?.says === says ? old : { says, row: doneRow(arm, ks, letter) });
    }
    const wanted = [...this.rows.values()].map(({ row }) => row);
    if (wanted.length === 0) {
      const text = "No run yet. Start one: it measures the base, then trains one arm after another.";
      wanted.push(element("tr", {}, element("td", { class: "wait", colspan: heads.length }, text)));
    }
    const same =
      wanted.length === this.body.rows.length && wanted.every((row, i) => row === this.body.rows[i]);
    if (!same) this.body.replaceChildren(...wanted);
  }
}

/** Name of a row; `run` is the letter of a compared run. */
function rowHead(arm: string, run?: string): HTMLElement {
  const letter = run === undefined ? null : element("span", { class: "run-letter" }, run);
  return element(
    "th",
    { scope: "row" },
    element("span", { class: "arm-name" }, armKey(arm, run), arm, letter),
  );
}

function armRow(arm: string, ks: readonly number[], data: RunData): HTMLTableRowElement {
  const summary = data.summaries.get(arm);
  if (summary) return doneRow(summary, ks);
  return element(
    "tr",
    {},
    rowHead(arm),
    element("td", { class: "wait", colspan: ks.length + 1 }, waitText(arm, data)),
    element("td", {}, String(data.done(arm))),
    element("td", { class: "wait" }, "–"),
  );
}

function doneRow(summary: ArmSummary, ks: readonly number[], run?: string): HTMLTableRowElement {
  const name = run === undefined ? summary.name : `${summary.name} ${run}`;
  const cells = ks.map((k) => {
    const interval = summary.intervals?.[k];
    const share = summary.passAtK[k];
    return element(
      "td",
      {},
      share === undefined ? "–" : percent(share),
      interval ? element("small", {}, `${percent(interval[0])} – ${percent(interval[1])}`) : null,
    );
  });
  const sha = summary.weightsSha256;
  return element(
    "tr",
    { "data-arm": name, "data-sha256": sha },
    rowHead(summary.name, run),
    ...cells,
    element("td", {}, summary.entropy.toFixed(3)),
    element("td", {}, String(summary.updates)),
    element(
      "td",
      {},
      element("code", { title: sha }, sha.slice(0, 8)),
      " ",
      copyButton(() => sha, `weightsSha256 of ${name}`),
    ),
  );
}

function waitText(arm: string, data: RunData): string {
  const { progress } = data;
  if (progress?.arm !== arm) return data.done(arm) > 0 ? "to be measured" : "waiting";
  return progress.phase === "evaluate" ? "being measured" : "training";
}
