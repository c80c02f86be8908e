/**
 * Checks ops and whole programs on one device: results beside float64, twice over, beside T0's, with guard words around
 * every tensor. What fails is counted and the rest goes on; only a device that is lost or silent ends it.
 */

import { DeviceLostError } from "../tensor/errors.ts";
import type { Program } from "../tensor/program.ts";
import type { WebGpuBackend } from "../tensor/webgpu.ts";
import { Bench, type Prepared } from "./bench.ts";
import type { Call, Results } from "./calls.ts";
import { differentWord } from "./compare.ts";
import { type Checked, count, type Fallback, noCount } from "./report.ts";
import { SilentDevice, type Waiting } from "./waiting.ts";

/** An op or a whole program, with the calls that check it. */
export interface Unit {
  readonly name: string;
  readonly kind: "op" | "program";
  calls(): Promise<readonly UnitCall[]>;
}

export interface UnitCall {
  readonly call: Call;
  readonly gradient: boolean;
}

/** Results of T0 by call, for the tiers above. */
export type Kept = Map<Call, Results>;

interface Trial extends UnitCall {
  /** Or why it could not be built. */
  readonly prepared: Prepared | Error;
  got: Results | null;
}

/** How many units' pipelines are created while one is checked. */
const AHEAD = 8;

export class TierRun {
  private readonly bench: Bench;
  private readonly waiting: Waiting;
  /** Results that this tier leaves for others (T0), or T0's that are compared with. */
  private readonly kept: Kept;
  private readonly isT0: boolean;
  /** Of each variant above T0, the first call that has it. */
  private readonly variants = new Map<string, { call: string; name: string }>();

  constructor(backend: WebGpuBackend, waiting: Waiting, kept: Kept) {
    this.bench = new Bench(backend);
    this.waiting = waiting;
    this.kept = kept;
    this.isT0 = backend.device.tier === "T0";
  }

  /** Checks the units in order. Rejects with what ended it: a lost or silent device, or the signal's reason. */
  async *check(units: readonly Unit[]): AsyncGenerator<{ unit: Unit; checked: Checked }> {
    const prepared: Promise<Trial[]>[] = [];
    for (const [i, unit] of units.entries()) {
      while (prepared.length < Math.min(units.length, i + AHEAD))
        prepared.push(this.prepare(units[prepared.length]));
      yield { unit, checked: await this.checkUnit(unit.name, await prepared[i]) };
      prepared[i] = Promise.resolve([]);
    }
  }

  /** Kernels above T0 that were replaced. */
  fallbacks(): Fallback[] {
    return [...this.bench.backend.pipelines.fallbacks].map(([variant, why]) => {
      const { call = null, name = null } = this.variants.get(variant) ?? {};
      return { variant, why, call, name };
    });
  }

  private async prepare(unit: Unit): Promise<Trial[]> {
    const calls = await unit.calls();
    return calls.map(({ call, gradient }) => {
      try {
        const prepared = this.bench.prepare(call.name, call.graph, call.inputs);
        return { call, gradient, prepared, got: null };
      } catch (error) {
        return { call, gradient, prepared: error as Error, got: null };
      }
    });
  }

  private async checkUnit(name: string, trials: readonly Trial[]): Promise<Checked> {
    const checked: Checked = {
      name,
      forward: noCount(),
      gradients: noCount(),
      repeated: noCount(),
      besideT0: { ...noCount(), equalBits: 0 },
      ownKernels: 0,
      strayWrites: [],
      errors: [],
    };
    await this.runAll(checked, trials);
    for (const trial of trials) this.judge(checked, trial);
    // A second time with the same inputs.
    const again = trials.filter(({ got }) => got !== null);
    for (const { prepared } of again) this.bench.run(prepared as Prepared);
    await Promise.all(again.map((trial) => this.repeat(checked, trial)));
    for (const { prepared } of trials) if (!(prepared instanceof Error)) this.bench.dispose(prepared);
    try {
      await this.ask(checked, `the end of ${name}`, () => this.bench.backend.sync());
    } catch (error) {
      this.rethrowEnd(error);
      checked.errors.push((error as Error).message);
    }
    return checked;
  }

  /** Runs each call once and looks at the words around their tensors. */
  private async runAll(checked: Checked, trials: readonly Trial[]): Promise<void> {
    const running: Trial[] = [];
    for (const trial of trials) {
      const { prepared, call, gradient } = trial;
      try {
        if (prepared instanceof Error) throw prepared;
        await this.ask(checked, call.name, () => prepared.executable.ready());
        this.noteVariants(checked, prepared, call);
        this.bench.run(prepared);
        running.push(trial);
      } catch (error) {
        this.rethrowEnd(error);
        count(gradient ? checked.gradients : checked.forward, Infinity, saying(call, error));
      }
    }
    const read = async (trial: Trial): Promise<void> => {
      const { prepared, call, gradient } = trial;
      try {
        trial.got = await this.read(checked, prepared as Prepared);
      } catch (error) {
        this.rethrowEnd(error);
        count(gradient ? checked.gradients : checked.forward, Infinity, saying(call, error));
      }
    };
    await Promise.all(running.map(read));
    try {
      const stray = await this.ask(checked, "the words around tensors", () =>
        this.bench.backend.checkGuards(),
      );
      checked.strayWrites.push(...stray);
    } catch (error) {
      this.rethrowEnd(error);
      checked.errors.push((error as Error).message);
    }
    for (const { prepared } of running) this.bench.release(prepared as Prepared);
  }

  private judge(checked: Checked, { call, gradient, prepared, got }: Trial): void {
    if (got === null) return;
    const rounded = variantsOf(prepared as Prepared).some((variant) => variant.startsWith("matrix/"));
    const { worst, complaint } = call.judge(got, rounded);
    count(gradient ? checked.gradients : checked.forward, worst, complaint);
    if (this.isT0) {
      this.kept.set(call, got);
      return;
    }
    const below = this.kept.get(call);
    if (!below) return;
    const beside = call.judgeBeside(got, below, rounded);
    count(checked.besideT0, beside.worst, beside.complaint && `beside T0: ${beside.complaint}`);
    if (differentWord(got, below) === null) checked.besideT0.equalBits++;
  }

  private async repeat(checked: Checked, { call, prepared, got }: Trial): Promise<void> {
    try {
      const again = await this.read(checked, prepared as Prepared);
      const where = differentWord(again, got as Results);
      const text = where && `${call.name}: the same bits were expected twice, got ${where}`;
      count(checked.repeated, text ? Infinity : 0, text);
    } catch (error) {
      this.rethrowEnd(error);
      count(checked.repeated, Infinity, `the second time: ${saying(call, error)}`);
    }
  }

  private async read(checked: Checked, prepared: Prepared): Promise<Results> {
    const [outputs, states] = await this.ask(checked, prepared.name, () =>
      Promise.all([this.bench.read(prepared), this.bench.readStates(prepared)]),
    );
    return [...outputs, ...states];
  }

  /** Throws what ends the whole check; what only one call fails by goes on. */
  private rethrowEnd(error: unknown): void {
    const { failure } = this.bench.backend.device;
    if (failure instanceof DeviceLostError) throw failure;
    if (error instanceof DeviceLostError || error instanceof SilentDevice || this.waiting.aborted)
      throw error;
  }

  private noteVariants(checked: Checked, prepared: Prepared, call: Call): void {
    const variants = variantsOf(prepared);
    if (variants.length > 0) checked.ownKernels++;
    for (const variant of variants)
      if (!this.variants.has(variant)) this.variants.set(variant, { call: call.name, name: checked.name });
  }

  /**
   * An answer of the device. Errors of WebGPU come beside the call that caused them, and a failure of one run may reject
   * the read of another: they are noted, and the question is asked once more.
   */
  private async ask<T>(checked: Checked, what: string, question: () => Promise<T>): Promise<T> {
    try {
      return await this.waiting.until(what, question());
    } catch (error) {
      this.rethrowEnd(error);
      const beside = this.bench.backend.device.takeFailure();
      if (beside instanceof DeviceLostError) throw beside;
      if (beside) checked.errors.push(beside.message);
      return this.waiting.until(what, question());
    }
  }
}

/** What a call's kernels have above T0. */
function variantsOf({ executable }: Prepared): string[] {
  return (executable as Program).lowered.kernels.flatMap((k) => k.variants);
}

/** An error's message with the call's name in front, where it is not there already. */
function saying(call: Call, error: unknown): string {
  const { message } = error as Error;
  return message.startsWith(call.name) ? message : `${call.name}: ${message}`;
}
