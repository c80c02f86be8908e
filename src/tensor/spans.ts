/** What the host spends its time on (trace, compile, pipelines, encode, read), for PROFILE; off until switched on. */

export interface Span {
  readonly kind: "trace" | "compile" | "pipelines" | "encode" | "read";
  readonly label: string;
  /** On the clock of `performance.now()`, ms. */
  readonly start: number;
  readonly ms: number;
}

/** Spans kept: about 20 MB. Later ones are counted only. */
const MOST_SPANS = 200_000;

let kept: Span[] | null = null;
let dropped = 0;

/** Starts to record; spans of earlier work are not known. */
export function recordSpans(): void {
  kept ??= [];
}

/** Forgets all spans and stops. */
export function stopSpans(): void {
  kept = null;
  dropped = 0;
}

export function recordedSpans(): { spans: readonly Span[]; dropped: number } {
  return { spans: kept ?? [], dropped };
}

function keep(kind: Span["kind"], label: string, start: number): void {
  if (!kept) return;
  if (kept.length >= MOST_SPANS) dropped++;
  else kept.push({ kind, label, start, ms: performance.now() - start });
}

/** Runs `f` and records how long it took, also where it throws. */
export function span<T>(kind: Span["kind"], label: string, f: () => T): T {
  if (!kept) return f();
  const start = performance.now();
  try {
    return f();
  } finally {
    keep(kind, label, start);
  }
}

/** Records how long a promise takes from here; gives the promise back. */
export function spanUntil<T>(kind: Span["kind"], label: string, promise: Promise<T>): Promise<T> {
  if (!kept) return promise;
  const start = performance.now();
  const end = (): void => keep(kind, label, start);
  promise.then(end, end);
  return promise;
}
