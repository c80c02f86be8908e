/** Runs that stand in this browser's files: the unfinished ones are offered at the top, all are listed at the bottom. */
import type { NaysayWorker, StoredRun } from "../../src/worker/index.ts";
import { byId, element } from "./dom.ts";
import { recall, remember } from "./memory.ts";
import { dismiss, notify, notifyError } from "./notices.ts";
import { alone } from "./runLock.ts";

/** The link with which a run was started, for its settings and its tier. */
export function linkOf({ out, request }: StoredRun): string {
  return recall(`run.${out}`) ?? `?preset=${request.preset}&seed=${request.seed}`;
}

export function rememberLink(out: string, link: string): void {
  remember(`run.${out}`, link);
}

function describe({ request, done, total, finished }: StoredRun): string {
  const which = `${request.preset}, seed ${request.seed}`;
  if (finished && done >= total) return `${which}: finished, ${total} ${total === 1 ? "arm" : "arms"}`;
  return `${which}: ${done} of ${total} arms`;
}

export interface StoredRunActions {
  resume(run: StoredRun): void;
  /** Whether this run is being worked at. */
  isOpen(out: string): boolean;
  /** Lays the run over the one on show, or takes it away again. */
  compare(run: StoredRun): Promise<void>;
  isCompared(out: string): boolean;
  /** Whether this run is the one on show. */
  isShown(out: string): boolean;
  /** After a run was discarded. */
  discarded(out: string): void;
}

export class StoredRuns {
  private readonly worker: NaysayWorker;
  private readonly actions: StoredRunActions;
  private offered: StoredRun[] = [];

  constructor(worker: NaysayWorker, actions: StoredRunActions) {
    this.worker = worker;
    this.actions = actions;
  }

  /** Lists the runs; `offer`: also says at the top which are unfinished, as after a reload. */
  async refresh({ offer = false } = {}): Promise<void> {
    try {
      const runs = (await this.worker.runs()).filter(({ out }) => !this.actions.isOpen(out));
      const unfinished = runs.filter(({ finished, done, total }) => !finished || done < total);
      this.offered = offer
        ? unfinished
        : this.offered.filter(({ out }) => unfinished.some((run) => run.out === out));
      this.show(runs);
    } catch (error) {
      notifyError("stored", error);
    }
  }

  /** Takes the offers away: the visitor has begun something. */
  hideOffers(): void {
    this.offered = [];
    byId("resume", HTMLElement).hidden = true;
  }

  private show(runs: StoredRun[]): void {
    byId("resume", HTMLElement).hidden = this.offered.length === 0;
    byId("resume-list", HTMLElement).replaceChildren(
      ...this.offered.map((run) => this.item(run, `An unfinished run of ${describe(run)}.`, "Resume")),
    );
    const list = element("ul", {}, ...runs.map((run) => this.item(run, describe(run), "Open")));
    const none = element(
      "p",
      { class: "hint" },
      "None yet. A run is kept as it goes, so a reload loses nothing.",
    );
    byId("stored", HTMLElement).replaceChildren(runs.length > 0 ? list : none);
  }

  /** For runs with something to compare. */
  private compareButton(run: StoredRun): HTMLButtonElement | null {
    if (run.done === 0 || this.actions.isShown(run.out)) return null;
    const pressed = (): string => String(this.actions.isCompared(run.out));
    const button = element(
      "button",
      {
        type: "button",
        class: "small",
        "aria-pressed": pressed(),
        "aria-label": `Compare the run of ${describe(run)}`,
      },
      "Compare",
    );
    button.addEventListener("click", async () => {
      await this.actions.compare(run);
      button.setAttribute("aria-pressed", pressed());
    });
    return button;
  }

  private item(run: StoredRun, text: string, word: string): HTMLLIElement {
    const small = word === "Resume" ? null : "small";
    const which = `the run of ${describe(run)}`;
    const resume = element(
      "button",
      { type: "button", class: small ?? "primary", "aria-label": `${word} ${which}` },
      word,
    );
    const discard = element(
      "button",
      { type: "button", class: small, "aria-label": `Discard ${which}` },
      "Discard",
    );
    resume.addEventListener("click", () => this.actions.resume(run));
    discard.addEventListener("click", async () => {
      try {
        dismiss("stored");
        if (await alone(run.out, () => this.worker.removeFile(run.out))) {
          remember(`run.${run.out}`, null);
          this.actions.discarded(run.out);
        } else {
          notify(
            "warning",
            "stored",
            "This run is under way, here or in another tab. Stop it to discard it.",
          );
        }
      } catch (error) {
        notifyError("stored", error);
      }
      await this.refresh();
    });
    return element("li", {}, element("span", {}, text), resume, small && this.compareButton(run), discard);
  }
}
