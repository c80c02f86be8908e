/**
 * What DEBUG=2 prints and PROFILE writes when a Node process ends; in a browser, `profileTrace()` gives the same text.
 * Format of the trace: Chrome's trace events, https://ui.perfetto.dev opens it.
 */
import { atEnd, writeText } from "#host";
import { flags } from "./flags.ts";
import type { Profiler } from "./profiler.ts";
import { recordedSpans, recordSpans } from "./spans.ts";

interface Reported {
  label: string;
  profiler: Profiler | null;
}

const reported: Reported[] = [];
let waiting = false;

/** Adds a device to the report, where a flag asks for one. */
export function reportAtEnd(label: string, profiler: Profiler | null): void {
  const { debug, profile } = flags();
  if (profile !== null) recordSpans();
  if (profile === null && debug < 2) return;
  reported.push({ label, profiler });
  if (waiting) return;
  waiting = true;
  atEnd(async () => {
    await Promise.all(reported.map((r) => r.profiler?.finish()));
    write();
  }, write);
}

function write(): void {
  const { debug, profile } = flags();
  for (const { label, profiler } of reported) {
    if (debug < 2) break;
    console.error(
      profiler ? `${label}: ${profiler.table()}` : `${label}: no kernel times, the adapter has no timestamps`,
    );
  }
  if (profile === null) return;
  if (!writeText(profile, profileTrace())) return;
  console.error(`PROFILE: wrote ${profile}; https://ui.perfetto.dev opens it`);
}

interface TraceEvent {
  name: string;
  ph: "X" | "M";
  pid: number;
  tid: number;
  cat?: string;
  /** Microseconds. */
  ts?: number;
  dur?: number;
  args?: Record<string, unknown>;
}

/** Threads of the host's track, one a kind of span. */
const HOST_TRACKS = ["trace", "compile", "encode", "read", "pipelines"] as const;

/** The trace so far: a process for the host with a track for each kind of work, and one for each GPU. */
export function profileTrace(devices: readonly Reported[] = reported): string {
  const name = (
    pid: number,
    tid: number,
    what: "process_name" | "thread_name",
    text: string,
  ): TraceEvent => ({
    name: what,
    ph: "M",
    pid,
    tid,
    args: { name: text },
  });
  const events: TraceEvent[] = [name(1, 0, "process_name", "host")];
  HOST_TRACKS.forEach((kind, i) => {
    events.push(name(1, i + 1, "thread_name", kind));
  });
  const { spans, dropped } = recordedSpans();
  for (const s of spans) {
    const tid = HOST_TRACKS.indexOf(s.kind) + 1;
    const at = { ts: s.start * 1000, dur: s.ms * 1000 };
    events.push({ name: s.label, cat: s.kind, ph: "X", pid: 1, tid, ...at });
  }
  devices.forEach(({ label, profiler }, i) => {
    events.push(name(2 + i, 0, "process_name", `GPU: ${label}`), name(2 + i, 1, "thread_name", "kernels"));
    for (const t of profiler?.times ?? []) {
      const args = { flops: t.flops, bytes: t.bytes };
      const at = { ts: t.start * 1000, dur: t.ms * 1000 };
      events.push({ name: t.label, cat: "kernel", ph: "X", pid: 2 + i, tid: 1, ...at, args });
    }
  });
  return JSON.stringify({ traceEvents: events, displayTimeUnit: "ms", otherData: { droppedSpans: dropped } });
}
