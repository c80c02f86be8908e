/** Pause, resume and single steps of a loop that asks before each of its steps. */
export class Gate {
  private paused: boolean;
  private allowed = 0;
  private open: (() => void) | null = null;
  private readonly onChange: (paused: boolean) => void;

  /** `onChange` is called when the loop comes to rest, and when it goes on. */
  constructor(paused: boolean, onChange: (paused: boolean) => void) {
    this.paused = paused;
    this.onChange = onChange;
  }

  /** `pause`, `resume`, or `step`: one step more, then a pause. Other words are ignored. */
  tell(word: string): void {
    if (word === "pause") this.paused = true;
    else if (word === "resume") this.paused = false;
    else if (word === "step") {
      // While it runs, this step is the one allowed.
      if (this.open) this.allowed = 1;
      this.paused = true;
    } else return;
    if (!this.paused || this.allowed > 0) this.open?.();
  }

  /** Resolves when the next step may begin; rejects with the signal's reason. */
  async pass(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (!this.paused) return;
    if (this.allowed === 0) {
      this.onChange(true);
      await new Promise<void>((resolve, reject) => {
        const abort = (): void => reject(signal.reason);
        signal.addEventListener("abort", abort, { once: true });
        this.open = () => {
          signal.removeEventListener("abort", abort);
          resolve();
        };
      }).finally(() => {
        this.open = null;
      });
      this.onChange(false);
    }
    if (this.allowed > 0) this.allowed--;
  }
}
