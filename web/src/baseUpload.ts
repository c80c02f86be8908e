/** The base to start from: the preset's, or a checkpoint of the visitor's, read and checked by the worker first. */
import { CheckpointError } from "../../src/tensor/errors.ts";
import type { NaysayWorker, PolicyInfo } from "../../src/worker/index.ts";
import { announce } from "./announcer.ts";
import { byId, element } from "./dom.ts";
import { dismiss, notifyError } from "./notices.ts";
import type { UploadedBase } from "./runRequest.ts";
import type { Settings } from "./settings.ts";
import { presetConfig } from "./taskChoices.ts";

/** Files above this are no policy that a page trains. */
const MOST_BYTES = 1 << 30;

export class BaseUpload {
  /** `null`: the preset's own. */
  base: UploadedBase | null = null;
  private readonly worker: NaysayWorker;
  private readonly changed: () => void;
  private readonly input = element("input", { type: "file", id: "base-file", accept: ".safetensors" });
  private readonly state = element("p", { class: "hint", id: "base-state" });
  private readonly back = element(
    "button",
    { type: "button", class: "small", hidden: true },
    "Use the preset's base",
  );

  private readonly settings: () => Settings;

  /** `settings`: the chosen ones, whose preset and task say which sizes a base must have. */
  constructor(worker: NaysayWorker, settings: () => Settings, changed: () => void) {
    this.worker = worker;
    this.settings = settings;
    this.changed = changed;
    const label = element("label", { for: "base-file", class: "label" }, "Start from a checkpoint");
    this.input.setAttribute("aria-describedby", "base-state");
    this.input.addEventListener("change", () => this.take());
    this.back.addEventListener("click", () => this.use(null, ""));
    const field = element("div", { class: "field-block" }, label, this.input, this.state, this.back);
    byId("settings-main", HTMLFieldSetElement).insertBefore(field, byId("controls", HTMLDetailsElement));
  }

  private async take(): Promise<void> {
    const file = this.input.files?.[0];
    if (!file) return;
    try {
      if (file.size > MOST_BYTES) {
        throw new CheckpointError(
          `base: at most ${MOST_BYTES} bytes expected, got ${file.size}. Choose a smaller model.`,
        );
      }
      const bytes = new Uint8Array(await file.arrayBuffer());
      const policy = await this.worker.policy({ checkpoint: bytes });
      const { parameters, config } = policy.info;
      await policy.close();
      checkSizes(policy.info, this.settings());
      const size = `${parameters.toLocaleString("en-US")} weights, width ${config.hiddenSize}, ${config.numLayers} layers`;
      this.use({ name: file.name, bytes }, `${file.name}: ${size}`);
    } catch (error) {
      // What was chosen before still counts.
      notifyError("base", error);
    }
    this.input.value = "";
  }

  private use(base: UploadedBase | null, text: string): void {
    this.base = base;
    this.state.textContent = text;
    this.back.hidden = base === null;
    dismiss("base");
    announce(base === null ? "The preset's base is used." : `Base: ${text}`);
    this.changed();
  }
}

/** Throws `CheckpointError` for a policy of other sizes than the preset trains. */
function checkSizes({ config }: PolicyInfo, { preset, task }: Settings): void {
  for (const [key, wanted] of Object.entries(presetConfig(preset, task).model)) {
    const found = (config as unknown as Record<string, unknown>)[key];
    if (found !== undefined && found !== wanted) {
      throw new CheckpointError(
        `base: ${key} ${wanted} expected by the preset ${preset}, got ${found}. Choose a checkpoint of this preset.`,
      );
    }
  }
}
