/** The page once the engine is there: the visitor's actions on one side, the run's events on the other. */
import type { Summary } from "../../src/eval/summary.ts";
import type {
  ExperimentEvent,
  ExperimentRequest,
  NaysayWorker,
  StoredRun,
  WorkerInfo,
} from "../../src/worker/index.ts";
import { announce } from "./announcer.ts";
import { ArmTable } from "./armTable.ts";
import { BaseUpload } from "./baseUpload.ts";
import { CompareCard } from "./compareCard.ts";
import type { RunFacts } from "./comparison.ts";
import { confirmed } from "./confirmDialog.ts";
import { makeCurves } from "./curves.ts";
import { byId, setText } from "./dom.ts";
import { FilesCard } from "./filesCard.ts";
import { readLink, writeLink } from "./link.ts";
import { remember } from "./memory.ts";
import { drawNodeCard } from "./nodeCard.ts";
import { dismiss, notify, notifyError } from "./notices.ts";
import { Painter } from "./painter.ts";
import { showPresetNote } from "./presetNote.ts";
import { type Change, RunData } from "./runData.ts";
import { alone } from "./runLock.ts";
import { runRequest, type UploadedBase } from "./runRequest.ts";
import { Samples } from "./samples.ts";
import { type RunState, Session } from "./session.ts";
import { settledConfig } from "./settings.ts";
import type { SettingsForm } from "./settingsForm.ts";
import { ProgressBars, showAdapter, showSpeed, statusText } from "./statusBar.ts";
import { linkOf, rememberLink, StoredRuns } from "./storedRuns.ts";
import { Transport } from "./transport.ts";

/** Least time between two drawings of a chart, and of the samples, ms. */
const CHART_INTERVAL = 350;
const SAMPLES_INTERVAL = 600;

/** A run that was begun here: starting again with the same settings goes on with it. */
interface Begun {
  link: string;
  base: UploadedBase | null;
  request: ExperimentRequest;
}

export class App {
  private readonly worker: NaysayWorker;
  private readonly form: SettingsForm;
  private info: WorkerInfo;
  private readonly data = new RunData();
  private readonly session: Session;
  private readonly samples: Samples;
  private readonly files: FilesCard;
  private readonly stored: StoredRuns;
  private readonly compare: CompareCard;
  private readonly upload: BaseUpload;
  private readonly transport: Transport;
  private readonly marks: Record<Change, (() => void)[]>;
  private readonly markStatus: () => void;
  private begun: Begun | null = null;
  /** The device that the settings ask for is being opened. */
  private opening: Promise<void> = Promise.resolve();
  private openTier: string = "auto";
  private preparing = false;
  /** Resolves when this page holds no run's lock. */
  private unlocked: Promise<void> = Promise.resolve();

  constructor(worker: NaysayWorker, form: SettingsForm) {
    this.worker = worker;
    this.form = form;
    this.info = worker.info;
    const { data } = this;
    const painter = new Painter();
    this.compare = new CompareCard(
      worker,
      () => this.facts(),
      () => {
        this.mark(["summaries"]);
        void this.stored.refresh();
      },
    );
    const { comparison } = this.compare;
    const curves = makeCurves(data, comparison);
    const table = new ArmTable(data, comparison);
    const bars = new ProgressBars(data);
    this.samples = new Samples(data);
    this.files = new FilesCard(data, worker);
    this.upload = new BaseUpload(
      worker,
      () => form.settings,
      () => this.settingsChanged(),
    );
    this.session = new Session(worker, {
      state: (state) => this.stateChanged(state),
      event: (event) => this.take(event),
      finished: (summary) => this.finished(summary),
      failed: (error) => this.failed(error),
    });
    this.stored = new StoredRuns(worker, {
      resume: (run) => this.resume(run),
      isOpen: (out) => this.session.active && data.out === out,
      compare: ({ out, finished }) => this.compare.toggle(out, finished),
      isCompared: (out) => comparison.has(out),
      isShown: (out) => data.out === out,
      discarded: (out) => {
        comparison.remove(out);
        if (data.out === out) this.clear();
      },
    });
    this.transport = new Transport({
      start: () => this.start(),
      step: () => this.step(),
      stop: () => this.session.stop(),
      reset: () => this.reset(),
    });
    const charts = curves.pieces.map((draw) => painter.add(draw, CHART_INTERVAL));
    const pass = painter.add(() => curves.drawPass(), CHART_INTERVAL);
    const arms = painter.add(() => table.draw(), CHART_INTERVAL);
    const samples = painter.add(() => this.samples.draw(), SAMPLES_INTERVAL);
    const status = painter.add(() => {
      bars.draw();
      showSpeed(data);
      this.drawStatus();
    }, 150);
    this.markStatus = status;
    this.marks = {
      arms: [...charts, pass, arms, samples, status],
      metrics: charts,
      summaries: [pass, arms],
      rollout: [samples],
      progress: [status, arms],
    };
    this.mark(["arms"]);
    this.draw();
  }

  /** Whether a run is under way, resting or not. */
  get running(): boolean {
    return this.session.active;
  }

  /** Opens what the settings ask for and offers what was left unfinished. */
  async ready(): Promise<void> {
    showAdapter(this.info.adapter);
    if (this.info.storage === "memory") {
      notify("warning", "storage", "This browser keeps no files for this page: a reload loses the run.");
    }
    this.settingsChanged();
    await this.opening;
    await this.stored.refresh({ offer: true });
  }

  /** After every change of a setting. */
  settingsChanged(): void {
    const { settings } = this.form;
    if (settings.tier !== this.openTier && !this.session.active) {
      this.openTier = settings.tier;
      // What failed before does not keep this one from being tried.
      this.opening = this.opening.catch(() => {}).then(() => this.openDevice());
      this.opening.catch((error) => notifyError("tier", error));
    }
    drawNodeCard(settings, this.info.adapter.tier, this.upload.base?.name ?? null);
    showPresetNote(settings);
    if (this.data.facts === null) this.compare.draw();
    this.draw();
  }

  /** The run on show, or before one what would be run. */
  private facts(): RunFacts {
    const { settings } = this.form;
    const { preset, seed } = settings;
    const run = this.data.facts ?? { preset, seed, config: settledConfig(settings) };
    return { ...run, adapter: this.info.adapter };
  }

  private async openDevice(): Promise<void> {
    const { tier } = this.form.settings;
    try {
      this.info = await this.worker.call("open", tier === "auto" ? {} : { tier }).result;
      dismiss("tier");
    } catch (error) {
      notifyError("tier", error);
      this.openTier = "auto";
      this.form.set({ ...this.form.settings, tier: "auto" });
      this.info = await this.worker.call("open", {}).result;
    }
    showAdapter(this.info.adapter);
    drawNodeCard(this.form.settings, this.info.adapter.tier, this.upload.base?.name ?? null);
  }

  private start(): void {
    const { state } = this.session;
    if (state === "running") this.session.pause();
    else if (state === "paused" || state === "pausing") this.session.resume();
    else void this.begin(false);
  }

  private step(): void {
    if (this.session.active) this.session.step();
    else void this.begin(true);
  }

  private async begin(step: boolean): Promise<void> {
    if (this.preparing || this.session.active) return;
    this.preparing = true;
    try {
      await this.opening;
      const link = writeLink(this.form.settings);
      const { base } = this.upload;
      if (!this.goesOn()) {
        const request = await runRequest(this.form.settings, this.info, base);
        this.begun = { link, base, request };
      }
      await this.run((this.begun as Begun).request, link, step);
    } catch (error) {
      notifyError("run", error);
    } finally {
      this.preparing = false;
    }
  }

  /** Whether starting now goes on with what was begun. */
  private goesOn(): boolean {
    const { begun, upload, form } = this;
    return begun !== null && begun.link === writeLink(form.settings) && begun.base === upload.base;
  }

  private async resume(stored: StoredRun): Promise<void> {
    if (this.preparing || this.session.active) {
      notify("warning", "run", "Another run goes on. Stop it first.");
      return;
    }
    this.preparing = true;
    try {
      const { settings } = readLink(linkOf(stored));
      this.form.set(settings);
      this.settingsChanged();
      await this.opening;
      const link = writeLink(settings);
      const request = { ...stored.request, showRows: settings.showRows };
      this.begun = { link, base: this.upload.base, request };
      await this.run(request, link, false);
    } catch (error) {
      notifyError("run", error);
    } finally {
      this.preparing = false;
    }
  }

  /**
   * Runs the request unless another tab is at the same run: two writers would spoil its files. Resolves once it has begun
   * or was refused.
   */
  private run(request: ExperimentRequest, link: string, step: boolean): Promise<void> {
    const begin = (): Promise<void> => {
      dismiss("run");
      if (request.out) rememberLink(request.out, link);
      history.replaceState(null, "", link);
      this.stored.hideOffers();
      this.samples.release();
      this.session.begin(request, { step });
      return this.session.ended;
    };
    return new Promise((begun, refused) => {
      const held = alone(String(request.out), () => {
        begun();
        return begin();
      });
      this.unlocked = held.then((free) => {
        if (!free)
          notify("warning", "run", "Another tab is at this very run. Close it, or change a setting.");
        begun();
      }, refused);
    });
  }

  private async reset(): Promise<void> {
    const { data, session, worker } = this;
    const worth = data.arms.some((arm) => data.done(arm) > 0 || data.summaries.has(arm));
    if (worth && !(await confirmed("Discard this run and all its files?", "Discard"))) return;
    await session.stop();
    await this.unlocked;
    dismiss("run");
    const { out } = data;
    try {
      if (out !== null) {
        const removed = await alone(out, () => worker.removeFile(out));
        if (!removed) {
          notify("warning", "run", "Another tab is at this very run. Stop it there to discard it.");
          return;
        }
        remember(`run.${out}`, null);
      }
    } catch (error) {
      notifyError("run", error);
    }
    this.clear();
    await this.stored.refresh();
  }

  /** An empty page. */
  private clear(): void {
    this.data.clear();
    this.compare.draw();
    this.begun = null;
    this.samples.release();
    this.session.forget();
    for (const key of ["device", "warnings"]) dismiss(key);
    this.mark(["arms"]);
    void this.files.refresh();
    this.draw();
  }

  private take(event: ExperimentEvent): void {
    this.mark(this.data.take(event));
    if (event.kind === "started") this.compare.draw();
    if (event.kind === "arm") {
      const { name, passAtK } = event.arm.summary;
      announce(`${name} is done: Pass@1 ${((passAtK[1] ?? 0) * 100).toFixed(1)} per cent.`);
      void this.files.refresh();
    }
    if (event.kind === "progress" && event.progress.warnings.length > 0) {
      notify("warning", "warnings", `${event.progress.arm}: ${event.progress.warnings.join("; ")}`);
    }
    if (event.kind === "deviceLost") {
      notify("warning", "device", `The GPU device was lost (${event.message}). A new one is being opened.`);
    }
    if (event.kind === "deviceRestored") {
      this.info = { ...this.info, adapter: event.adapter };
      showAdapter(event.adapter);
      notify(
        "info",
        "device",
        "The GPU device was lost and is back. The run goes on from its last checkpoint.",
      );
    }
  }

  private stateChanged(state: RunState): void {
    if (["paused", "stopped", "failed"].includes(state)) announce(statusText(state, null).split(".")[0]);
    this.draw();
    if (["stopped", "done", "failed"].includes(state)) {
      void this.stored.refresh();
      void this.files.refresh();
    }
  }

  private finished(summary: Summary): void {
    announce(`The run is done: ${summary.arms.length} arms.`);
  }

  /** A run that failed before it did anything leaves an empty page. Its folder stays: it may hold work of an earlier visit. */
  private failed(error: Error): void {
    notifyError("run", error);
    const { data } = this;
    if (data.arms.some((arm) => data.done(arm) > 0 || data.summaries.has(arm))) return;
    this.clear();
    void this.stored.refresh();
  }

  private mark(changes: readonly Change[]): void {
    for (const change of changes) for (const mark of this.marks[change]) mark();
  }

  /** What depends on the state alone: drawn at once, it is little. */
  private draw(): void {
    const { state, active } = this.session;
    this.form.lock(active);
    const goesOn = state === "stopped" && this.goesOn();
    this.transport.show(state, { ready: true, goesOn, empty: this.data.arms.length === 0 });
    this.drawStatus();
    this.markStatus();
  }

  private drawStatus(): void {
    setText(byId("status", HTMLElement), statusText(this.session.state, this.data.progress));
  }
}
