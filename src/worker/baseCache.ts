/**
 * Bases that were pretrained here, kept by what decides their bits: another run of the same task, model, recipe, seed and
 * adapter starts from the same bytes without pretraining again.
 */
import type { AdapterSummary } from "../eval/summary.ts";
import type { Files } from "../model/files.ts";
import type { ExperimentConfig } from "../rl/presets.ts";
import { canonical, removeTemporaries } from "../rl/runFolder.ts";

const FOLDER = "bases";
/** Where `runExperiment` looks for, and leaves, the base of a run. */
const IN_RUN = "checkpoints/pretrained.safetensors";

export interface BaseIdentity extends Pick<ExperimentConfig, "task" | "model" | "pretrain"> {
  seed: number;
  adapter: AdapterSummary;
  version: string;
}

export class BaseCache {
  private readonly files: Files;
  private readonly out: string;
  private readonly identity: BaseIdentity;

  constructor(files: Files, out: string, identity: BaseIdentity) {
    this.files = files;
    this.out = out;
    this.identity = identity;
  }

  /**
   * Gives a run that is about to begin the base that was made for its like. A folder with a run in it is left alone: whether
   * that run is this one shows only when it is opened.
   */
  async fetch(): Promise<void> {
    if (await this.files.exists(`${this.out}/run.json`)) return;
    const path = await this.path();
    const own = `${this.out}/${IN_RUN}`;
    // Put there for a run that then never began.
    await this.files.remove(own);
    if (!(await this.files.exists(path))) return;
    await this.files.mkdirp(`${this.out}/checkpoints`);
    await this.files.writeFileAtomic(own, await this.files.readFile(path));
  }

  /** Keeps the base that a run has made. */
  async keep(): Promise<void> {
    const path = await this.path();
    const own = `${this.out}/${IN_RUN}`;
    if ((await this.files.exists(path)) || !(await this.files.exists(own))) return;
    await this.files.mkdirp(FOLDER);
    // Of this base alone: another tab may be writing another one.
    await removeTemporaries(this.files, FOLDER, path.slice(FOLDER.length + 1));
    await this.files.writeFileAtomic(path, await this.files.readFile(own));
  }

  private async path(): Promise<string> {
    const { task, model, pretrain, seed, adapter, version } = this.identity;
    const text = canonical({ task, model, pretrain, seed, adapter, version });
    const digest = await globalThis.crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
    const name = Array.from(new Uint8Array(digest, 0, 16), (b) => b.toString(16).padStart(2, "0")).join("");
    return `${FOLDER}/${name}.safetensors`;
  }
}
