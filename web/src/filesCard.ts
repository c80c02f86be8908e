/** Files of the run on show, to download: summary, report, metrics and every checkpoint, as the worker wrote them. */
import type { NaysayWorker } from "../../src/worker/index.ts";
import { byId, element } from "./dom.ts";
import { notifyError } from "./notices.ts";
import type { RunData } from "./runData.ts";
import { saveFile } from "./saveFile.ts";

const OF_RUN = ["summary.json", "report.html", "metrics.jsonl"];
const NOTHING =
  "When an arm is finished, its checkpoint is here; when all are, summary.json and report.html.";

export class FilesCard {
  private readonly data: RunData;
  private readonly worker: NaysayWorker;
  private listed = "";

  constructor(data: RunData, worker: NaysayWorker) {
    this.data = data;
    this.worker = worker;
    this.show([]);
  }

  /** Lists what is there now. */
  async refresh(): Promise<void> {
    const { out } = this.data;
    try {
      const own = out === null ? [] : await this.worker.listFiles(out);
      const checkpoints =
        out === null || !own.includes("checkpoints") ? [] : await this.worker.listFiles(`${out}/checkpoints`);
      this.show([
        ...OF_RUN.filter((name) => own.includes(name)),
        ...checkpoints
          .filter((name) => !name.endsWith(".partial.safetensors"))
          .map((name) => `checkpoints/${name}`),
      ]);
    } catch (error) {
      notifyError("files", error);
    }
  }

  private show(paths: string[]): void {
    const signature = [this.data.out, ...paths].join();
    if (signature === this.listed) return;
    this.listed = signature;
    const host = byId("files", HTMLElement);
    if (paths.length === 0) {
      host.replaceChildren(element("p", { class: "hint" }, NOTHING));
      return;
    }
    host.replaceChildren(
      element(
        "p",
        { class: "hint" },
        "A checkpoint holds weights, optimizer moments and tokenizer, as safetensors.",
      ),
      element("div", { class: "file-list" }, ...paths.map((path) => this.button(path))),
    );
  }

  private button(path: string): HTMLButtonElement {
    const name = path.replace("checkpoints/", "");
    const button = element(
      "button",
      { type: "button", class: "small", "aria-label": `Download ${name}` },
      `↓ ${name}`,
    );
    button.addEventListener("click", async () => {
      try {
        saveFile(name, await this.worker.readFile(`${this.data.out}/${path}`));
      } catch (error) {
        notifyError("files", error);
      }
    });
    return button;
  }
}
