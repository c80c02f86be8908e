/** The header's words: which adapter, which tier, how fast, what is being done and how far it is. */
import type { AdapterSummary } from "../../src/eval/summary.ts";
import type { ProgressEvent } from "../../src/rl/experimentProgress.ts";
import { paintAs } from "./armLook.ts";
import { byId, element, setText } from "./dom.ts";
import type { RunData } from "./runData.ts";
import type { RunState } from "./session.ts";

/** Part of an arm's bar that its training takes; the rest is its measurement. */
const TRAINING = 0.7;

export function showAdapter(adapter: AdapterSummary | null): void {
  const place = byId("adapter", HTMLElement);
  if (adapter === null) {
    place.replaceChildren("none");
    setText(byId("adapter-tier", HTMLElement), "–");
    return;
  }
  const name = adapter.description || adapter.vendor || "unnamed";
  const title =
    "No GPU is used: the processor does its work. The numbers are right, the speed is not a GPU's.";
  const tag = adapter.software ? element("span", { class: "tag warn", title }, "software, slow") : null;
  place.replaceChildren(name, " ", ...(tag ? [tag] : []));
  place.title = [adapter.vendor, adapter.description, adapter.backend].filter(Boolean).join(" · ");
  setText(byId("adapter-tier", HTMLElement), adapter.tier);
}

export function showSpeed(data: RunData): void {
  const { tokensPerSecond } = data;
  const text = tokensPerSecond === null ? "–" : Math.round(tokensPerSecond).toLocaleString("en-US");
  setText(byId("speed", HTMLElement), text);
}

/** Seconds as a person says them. */
export function duration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 90) return `${whole} s`;
  return whole < 5400 ? `${Math.round(whole / 60)} min` : `${(whole / 3600).toFixed(1)} h`;
}

function progressText({ phase, arm, done, total, secondsLeft }: ProgressEvent): string {
  const left = secondsLeft === null || secondsLeft < 0.5 ? "" : `, about ${duration(secondsLeft)} left`;
  const count = `${done.toLocaleString("en-US")} of ${total.toLocaleString("en-US")}`;
  if (phase === "pretrain") return `Pretraining the base: step ${count}${left}`;
  if (phase === "train") return `${arm}: update ${count}${left}`;
  if (phase === "evaluate") return `${arm}: measuring, ${count} samples${left}`;
  return `${arm}: done, ${count} arms${left}`;
}

export function statusText(state: RunState, progress: ProgressEvent | null): string {
  const at = progress === null ? "Building programs for this adapter…" : progressText(progress);
  switch (state) {
    case "idle":
      return "Ready";
    case "running":
      return at;
    case "pausing":
      return `Pausing after this piece of work. ${at}`;
    case "paused":
      return `Paused. ${at}`;
    case "stopping":
      return "Stopping…";
    case "stopped":
      return "Stopped. What was done is kept; start to go on.";
    case "done":
      return "Done";
    case "failed":
      return "Ended by an error";
  }
}

/** Share of an arm's work that is done, in [0, 1]. */
export function armShare(arm: string, data: RunData): number {
  if (data.summaries.has(arm)) return 1;
  const { progress } = data;
  const measured =
    progress?.arm === arm && progress.phase === "evaluate" ? progress.done / Math.max(1, progress.total) : 0;
  if (arm === "base") return measured;
  const trained = data.updates > 0 ? Math.min(1, data.done(arm) / data.updates) : 1;
  return trained * TRAINING + measured * (1 - TRAINING);
}

/** Bars are told apart by name; none of an arm's may be this. */
const BASE_BAR = "pretraining";

/** One bar for each arm, filled as far as it is, after one for the base where it is pretrained here. */
export class ProgressBars {
  private readonly data: RunData;
  private readonly host = byId("progress", HTMLElement);
  private fills: HTMLElement[] = [];
  private arms = "";

  constructor(data: RunData) {
    this.data = data;
  }

  draw(): void {
    const { pretrained } = this.data;
    const arms = [...(pretrained === null ? [] : [BASE_BAR]), ...this.data.arms];
    this.host.hidden = arms.length === 0;
    if (arms.join() !== this.arms) {
      this.arms = arms.join();
      this.fills = arms.map((arm) => paintAs(element("span"), arm === BASE_BAR ? "base" : arm));
      this.host.replaceChildren(...this.fills.map((fill, i) => element("span", { title: arms[i] }, fill)));
      this.host.setAttribute("role", "progressbar");
      this.host.setAttribute("aria-label", "The whole run");
    }
    const shares = arms.map((arm) => (arm === BASE_BAR ? (pretrained ?? 0) : armShare(arm, this.data)));
    shares.forEach((share, i) => {
      this.fills[i].style.width = `${(share * 100).toFixed(1)}%`;
    });
    const whole = shares.reduce((sum, share) => sum + share, 0) / Math.max(1, arms.length);
    this.host.setAttribute("aria-valuenow", String(Math.round(whole * 100)));
  }
}
