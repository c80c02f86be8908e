/** A line that is written over on a terminal; elsewhere only lines that stay, and now and then one that would not. */

export interface StatusStream {
  isTTY?: boolean;
  columns?: number;
  write(text: string): unknown;
}

/** Seconds between passing lines where they cannot be written over. */
const QUIET_SECONDS = 10;

export class StatusLine {
  private readonly stream: StatusStream;
  private readonly now: () => number;
  private shown = false;
  private last = Number.NEGATIVE_INFINITY;

  constructor(stream: StatusStream, now: () => number = () => performance.now() / 1000) {
    this.stream = stream;
    this.now = now;
  }

  /** Shows `text`; with `stays` it is not written over. */
  show(text: string, stays = false): void {
    if (!this.stream.isTTY) {
      if (!stays && this.now() - this.last < QUIET_SECONDS) return;
      this.last = this.now();
      this.stream.write(`${text}\n`);
      return;
    }
    this.clear();
    const width = (this.stream.columns ?? 80) - 1;
    this.stream.write(stays ? `${text}\n` : text.split("\n")[0].slice(0, width));
    this.shown = !stays;
  }

  /** Takes a passing line away. */
  clear(): void {
    if (this.shown) this.stream.write("\r\x1b[2K");
    this.shown = false;
  }
}
