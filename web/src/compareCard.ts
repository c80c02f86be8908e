/** Lays kept runs, or an uploaded summary.json, over the run on show, and lists in what they differ from it. */
import type { NaysayWorker } from "../../src/worker/index.ts";
import { announce } from "./announcer.ts";
import { armKey } from "./armLook.ts";
import { type ComparedRun, Comparison, differences, type RunFacts } from "./comparison.ts";
import { byId, element, scrollRegion } from "./dom.ts";
import { dismiss, notifyError } from "./notices.ts";

const decoder = new TextDecoder();

export class CompareCard {
  readonly comparison: Comparison;
  private readonly worker: NaysayWorker;
  private readonly current: () => RunFacts;

  /** `current`: the run on show, or what would be run; `changed` is called when another set of runs is compared. */
  constructor(worker: NaysayWorker, current: () => RunFacts, changed: () => void) {
    this.worker = worker;
    this.current = current;
    this.comparison = new Comparison(() => {
      this.draw();
      changed();
    });
    scrollRegion(byId("compare-differences", HTMLElement), "Differences between the runs");
    const input = byId("compare-file", HTMLInputElement);
    input.addEventListener("change", async () => {
      const file = input.files?.[0];
      if (file) await this.attempt(async () => this.add(await file.text(), file.name));
      input.value = "";
    });
    this.draw();
  }

  /** Adds a kept run, or takes it away again. */
  async toggle(out: string, finished: boolean): Promise<void> {
    if (this.comparison.has(out)) {
      this.comparison.remove(out);
      return;
    }
    await this.attempt(async () => {
      const name = finished ? "summary.json" : "run.json";
      this.add(decoder.decode(await this.worker.readFile(`${out}/${name}`)), out);
    });
  }

  /** The list, the differences: also after the run on show has become another. */
  draw(): void {
    const { runs } = this.comparison;
    byId("compare-list", HTMLElement).replaceChildren(...runs.map((run) => this.item(run)));
    const table = byId("compare-differences", HTMLElement);
    byId("compare-none", HTMLElement).hidden = runs.length > 0;
    if (runs.length === 0) {
      table.replaceChildren();
      return;
    }
    const found = differences([this.current(), ...runs]);
    const head = ["Differs in", "on show", ...runs.map(({ letter }) => letter)];
    const rows = found.map(({ key, values }) =>
      element(
        "tr",
        {},
        element("th", { scope: "row" }, element("code", {}, key)),
        ...values.map((value) => element("td", {}, value)),
      ),
    );
    table.replaceChildren(
      rows.length === 0
        ? element("p", { class: "hint" }, "Nothing differs: the same configuration, seed and adapter.")
        : element(
            "table",
            {},
            element("caption", { class: "unseen" }, "Keys of the configurations that differ"),
            element(
              "thead",
              {},
              element("tr", {}, ...head.map((text) => element("th", { scope: "col" }, text))),
            ),
            element("tbody", {}, ...rows),
          ),
    );
  }

  private add(text: string, from: string): void {
    dismiss("compare");
    this.comparison.remove(from);
    const { letter, arms } = this.comparison.add(text, from);
    announce(`${letter} is compared: ${from}, ${arms.length} ${arms.length === 1 ? "arm" : "arms"}.`);
  }

  private async attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      notifyError("compare", error);
    }
  }

  private item({ letter, from, preset, seed, arms }: ComparedRun): HTMLElement {
    const remove = element(
      "button",
      { type: "button", class: "small", "aria-label": `Compare ${letter} no longer` },
      "Remove",
    );
    remove.addEventListener("click", () => {
      this.comparison.remove(from);
      byId("compare-file", HTMLInputElement).focus();
    });
    const said = `${preset}, seed ${seed}: ${arms.map(({ name }) => name).join(", ")}`;
    return element(
      "li",
      {},
      element("span", {}, armKey("base", letter), ` ${letter} `, element("small", {}, `${said} (${from})`)),
      remove,
    );
  }
}
