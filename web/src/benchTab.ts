/**
 * The bench tab: what to measure, a run in a worker of its own with the GPU's timestamps, rows as they come, and the result
 * as JSON that `npm run bench -- compare` reads.
 */
import type { BenchResult } from "../../src/bench/index.ts";
import type { Tier } from "../../src/tensor/tiers.ts";
import { type BenchEvent, connect, type NaysayWorker } from "../../src/worker/index.ts";
import { announce } from "./announcer.ts";
import { BenchTable, showBenchAdapter, showCeilings } from "./benchTable.ts";
import { copyButton } from "./copyButton.ts";
import { byId, element, setText } from "./dom.ts";
import { startEngine } from "./engine.ts";
import { dismiss, notify, notifyError } from "./notices.ts";
import { shippedBase } from "./runRequest.ts";
import { saveFile } from "./saveFile.ts";

/** What the workloads are, in a few words. The last takes minutes where no GPU computes. */
const WORKLOADS: Readonly<Record<string, string>> = {
  w1: "matrix products",
  w2: "a training step",
  w3: "sampling",
  w4: "an NSR step",
  w5: "a step of GPT-2’s shape",
};

function checkbox(
  id: string,
  text: string,
  checked: boolean,
): { label: HTMLElement; input: HTMLInputElement } {
  const input = element("input", { type: "checkbox", id, checked });
  return { label: element("label", { class: "inline", for: id }, input, ` ${text}`), input };
}

/** What the rest of the page knows. */
export interface Beside {
  /** Whether a run computes now. */
  busy(): boolean;
  /** The tier that the settings ask for; undefined: the adapter's own. */
  tier(): Tier | undefined;
}

/** Draws the choice and makes the button live. */
export async function openBenchTab(worker: NaysayWorker, { busy, tier }: Beside): Promise<void> {
  const names = await worker.call("benchNames", null).result;
  const software = worker.info.adapter.software;
  const workloads = names.workloads.map((name) => ({
    name,
    ...checkbox(
      `bench-${name}`,
      `${name}: ${WORKLOADS[name] ?? ""}`,
      name === "w1" || (!software && name !== "w5"),
    ),
  }));
  const ops = names.ops.map((name) => ({ name, ...checkbox(`bench-op-${name}`, name, false) }));
  const all = checkbox("bench-ops", `all ${ops.length} ops`, false);
  // A software adapter takes minutes over what a GPU does in milliseconds.
  const quick = checkbox("bench-quick", "small sizes: shows that it works, not what it gives", software);
  const time = element("input", { type: "number", id: "bench-time", min: 1, max: 60000, value: 300 });
  all.input.addEventListener("change", () => {
    for (const { input } of ops) input.checked = all.input.checked;
  });
  byId("bench-choice", HTMLElement).append(
    element("div", { class: "bench-group" }, ...workloads.map(({ label }) => label)),
    element(
      "details",
      {},
      element("summary", {}, "Single ops"),
      element("div", { class: "bench-group" }, all.label, ...ops.map(({ label }) => label)),
    ),
    element(
      "div",
      { class: "bench-group" },
      quick.label,
      element("label", { class: "inline", for: "bench-time" }, "ms for each row ", time),
    ),
  );

  const chosen = (): string[] =>
    [...workloads, ...ops].filter(({ input }) => input.checked).map(({ name }) => name);
  const button = byId("bench-run", HTMLButtonElement);
  const choice = byId("bench-choice", HTMLFieldSetElement);
  let stop: (() => void) | null = null;

  button.disabled = false;
  button.addEventListener("click", async () => {
    if (stop) {
      stop();
      return;
    }
    const words = chosen();
    const milliseconds = Number(time.value);
    dismiss("bench");
    if (!(milliseconds > 0)) {
      notify("warning", "bench", `ms for each row: a number above 0 expected, got "${time.value}".`);
      return;
    }
    if (busy()) {
      notify(
        "warning",
        "bench",
        "A run goes on beside this: its work is in these times. Stop it for numbers that count.",
      );
    }
    const abort = new AbortController();
    stop = () => abort.abort(new Error("stopped"));
    setText(button, "Stop");
    choice.disabled = true;
    byId("bench-save", HTMLElement).replaceChildren();
    try {
      const result = await measure(words.length > 0 ? words : ["ceilings"], {
        quick: quick.input.checked,
        time: milliseconds,
        tier: tier(),
        signal: abort.signal,
      });
      showSaving(result);
    } catch (error) {
      setText(byId("bench-progress", HTMLElement), abort.signal.aborted ? "Stopped." : "");
      if (!abort.signal.aborted) notifyError("bench", error);
    } finally {
      stop = null;
      choice.disabled = false;
      setText(button, "Run");
    }
  });
}

interface Wanted {
  quick: boolean;
  time: number;
  tier: Tier | undefined;
  signal: AbortSignal;
}

/** Measures in a worker of its own, which ends with it: a device with timestamps, and nobody else's work. */
async function measure(
  words: readonly string[],
  { quick, time, tier, signal }: Wanted,
): Promise<BenchResult> {
  const progress = byId("bench-progress", HTMLElement);
  const table = new BenchTable();
  let rows = 0;
  const take = (event: BenchEvent): void => {
    if (event.kind === "adapter") showBenchAdapter(event.facts, event.timestamps);
    if (event.kind === "ceilings") showCeilings(event.ceilings);
    if (event.kind === "row") table.add(event.row);
    if (event.kind === "failure") table.fail(event.failure);
    if (event.kind === "row" || event.kind === "failure") rows++;
    setText(progress, rows === 0 ? "Measuring the ceilings…" : `${rows} rows…`);
  };
  setText(progress, "Opening a device…");
  const base = words.includes("w4") ? await shippedBase() : undefined;
  const worker = await connect(startEngine("naysay bench"), { timestamps: true, tier });
  try {
    const begun = performance.now();
    const result = await worker.bench({ words, quick, time, base }, { signal, onEvent: take });
    const seconds = Math.round((performance.now() - begun) / 1000);
    const failed = result.errors.length > 0 ? `, ${result.errors.length} failed` : "";
    const said = `${result.rows.length} rows${failed}, ${seconds} s.`;
    setText(progress, said);
    announce(`Benchmark done: ${said}`);
    return result;
  } finally {
    worker.close();
  }
}

function showSaving(result: BenchResult): void {
  const json = `${JSON.stringify(result, null, 2)}\n`;
  const download = element(
    "button",
    { type: "button", class: "small", id: "bench-download" },
    "↓ bench.json",
  );
  download.addEventListener("click", () => saveFile("bench.json", new TextEncoder().encode(json)));
  byId("bench-save", HTMLElement).replaceChildren(
    copyButton(() => json, "the result"),
    download,
  );
}
