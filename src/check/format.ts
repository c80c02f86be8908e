/** A check's report as text that fits in an issue: who computed, a line a tier, what failed and how to repeat it, a verdict. */

import { tierAtLeast } from "../tensor/tiers.ts";
import {
  type Checked,
  type CheckReport,
  type Count,
  type Fallback,
  failuresOf,
  type TierReport,
} from "./report.ts";

/** Most characters of one message: compilers can be long-winded. */
const MESSAGE = 1200;
/** Most ops that are told of in full. */
const TOLD = 20;

/** The report as Markdown that also reads as plain text. */
export function formatCheck(report: CheckReport): string {
  const failed = sections(report);
  const told = failed.slice(0, TOLD);
  const more = failed.length > TOLD ? [`And ${failed.length - TOLD} more: \`--json\` has them all.`, ""] : [];
  return [
    "## naysay check",
    "",
    "Results and gradients of every op against float64, every call twice, higher tiers against T0.",
    "",
    ...header(report).map((line) => `- ${line}`),
    "",
    ...report.tiers.map((t) => `- ${tierLine(report, t)}`),
    "",
    ...told.flatMap((lines) => [...lines, ""]),
    ...more,
    verdict(report),
  ].join("\n");
}

function header(r: CheckReport): string[] {
  const { adapter } = r;
  const versions = Object.entries(r.versions).map(([name, version]) => `, ${name} ${version}`);
  const who = [adapter.description, [adapter.vendor, adapter.architecture].filter(Boolean).join(" ")].filter(
    Boolean,
  );
  const { smallest, largest } = r.subgroups;
  const size = smallest === largest ? `${largest}` : `${smallest} to ${largest}`;
  const features = [
    r.features.includes("subgroups") && `subgroups${largest === null ? "" : ` of ${size}`}`,
    r.features.includes("shader-f16") && "f16",
    r.features.includes("timestamp-query") && "timestamps",
    r.language.includes("immediate_address_space") && "immediates",
  ].filter(Boolean);
  const mib = (bytes: number): string => `${Math.floor(bytes / 2 ** 20)} MiB`;
  const l = r.limits;
  return [
    `naysay ${r.naysay}, ${r.runtime}${versions.join("")}`,
    `adapter: ${who.join(", ") || "unnamed"}; ${adapter.backend}${adapter.software ? "; computes on the CPU" : ""}`,
    ...(adapter.driver && adapter.driver !== adapter.description ? [`driver: ${adapter.driver}`] : []),
    `tier: ${adapter.tier}${r.notHigher ? ` (not ${r.notHigher})` : ""}; features: ${features.join(", ") || "none"}`,
    `limits: ${l.maxStorageBuffersPerShaderStage} storage buffers, ${l.maxComputeWorkgroupStorageSize / 1024} KiB of workgroup memory, ` +
      `${l.maxComputeInvocationsPerWorkgroup} invocations, bindings of ${mib(l.maxStorageBufferBindingSize)}, buffers of ${mib(l.maxBufferSize)}`,
    `seed ${r.seed}${r.only ? `, only ${r.only.join(", ")}` : ""}; ${r.seconds.toFixed(1)} s`,
  ];
}

const sum = (list: readonly Checked[], pick: (c: Checked) => Count): { passed: number; done: number } => {
  let [passed, done] = [0, 0];
  for (const c of list) {
    const one = pick(c);
    passed += one.done - one.failed;
    done += one.done;
  }
  return { passed, done };
};

const of = ({ passed, done }: { passed: number; done: number }): string => `${passed} of ${done}`;

function tierLine(report: CheckReport, t: TierReport): string {
  const all = [...t.ops, ...t.programs];
  const programs = sum(t.programs, (c) => c.forward);
  const against = [
    `${of(sum(t.ops, (c) => c.forward))} forward`,
    `${of(sum(t.ops, (c) => c.gradients))} gradients`,
    ...(programs.done > 0 ? [`${of(programs)} whole programs`] : []),
  ];
  const parts = [against.join(", "), `${of(sum(all, (c) => c.repeated))} repeat bit for bit`];
  const beside = sum(all, (c) => c.besideT0);
  if (beside.done > 0) {
    const equal = all.reduce((n, c) => n + c.besideT0.equalBits, 0);
    const own = all.reduce((n, c) => n + c.ownKernels, 0);
    parts.push(
      `${of(beside)} agree with T0, ${equal} bit for bit`,
      own === 0 ? "T0's kernels throughout" : `${own} calls with kernels that T0 lacks`,
    );
  }
  parts.push(nearest(all));
  const stray = all.reduce((n, c) => n + c.strayWrites.length, 0);
  const errors = all.reduce((n, c) => n + c.errors.length, 0);
  if (stray > 0) parts.push(`${stray} stray writes`);
  if (errors > 0) parts.push(`${errors} errors of WebGPU`);
  if (t.fallbacks.length > 0) parts.push(`${t.fallbacks.length} kernels replaced by T0's`);
  const last = report.tiers.at(-1) === t && report.ended !== null;
  if (last) parts.push("ended early");
  return `${t.tier}: ${parts.join("; ")}; ${t.seconds.toFixed(1)} s`;
}

/** The largest error among what passed or failed with a number, in parts of what is accepted, and whose it is. */
function nearest(all: readonly Checked[]): string {
  let worst = 0;
  let whose = "";
  for (const c of all) {
    const own = Math.max(c.forward.worst, c.gradients.worst);
    if (own > worst) [worst, whose] = [own, c.name];
  }
  if (worst === 0) return "no error";
  return `largest error ${worst < 10 ? worst.toPrecision(2) : worst.toFixed(0)} times what is accepted (${whose})`;
}

/** What failed: a section for each op or whole program, one for all tiers on which it fails in the same way. */
function sections(report: CheckReport): string[][] {
  const found = new Map<string, { name: string; lines: string[]; tiers: string[] }>();
  for (const t of report.tiers) {
    for (const { name, lines } of tierFailures(t)) {
      const key = [name, ...lines].join("\n");
      const known = found.get(key);
      if (known) known.tiers.push(t.tier);
      else found.set(key, { name, lines, tiers: [t.tier] });
    }
  }
  return [...found.values()].map(({ name, lines, tiers }) => [
    `### ${name} on ${listed(tiers)}`,
    "",
    ...lines,
    `- to repeat: \`npx naysay check --tier ${tiers[0]} --ops ${name} --seed ${report.seed}\``,
  ]);
}

function tierFailures(t: TierReport): { name: string; lines: string[] }[] {
  const replaced = new Map<string, Fallback[]>();
  for (const f of t.fallbacks) {
    const name = f.name ?? f.variant.split("/")[1];
    replaced.set(name, [...(replaced.get(name) ?? []), f]);
  }
  const names = new Set([
    ...replaced.keys(),
    ...[...t.ops, ...t.programs].filter((c) => failuresOf(c) > 0).map((c) => c.name),
  ]);
  return [...names].map((name) => {
    const checked = [...t.ops, ...t.programs].find((c) => c.name === name);
    return {
      name,
      lines: [...replacements(replaced.get(name) ?? []), ...(checked ? findings(checked) : [])],
    };
  });
}

function replacements(list: readonly Fallback[]): string[] {
  if (list.length === 0) return [];
  const [{ why, call }] = list;
  return [
    `- kernels that are wrong here and were replaced by T0's, so that results stay right: ${list.map((f) => f.variant).join(", ")}; the first` +
      `${call ? `, in ${call}` : ""}: ${short(why)}`,
  ];
}

function findings(c: Checked): string[] {
  const kinds: [string, Count][] = [
    ["results", c.forward],
    ["gradients", c.gradients],
    ["bits of a second run", c.repeated],
    ["agreement with T0", c.besideT0],
  ];
  return [
    ...kinds
      .filter(([, { failed }]) => failed > 0)
      .map(
        ([kind, { failed, done, first }]) =>
          `- ${kind}: ${failed} of ${done} failed, the first: ${short(first ?? "")}`,
      ),
    ...c.strayWrites.slice(0, 3).map((where) => `- written outside a tensor: ${where}`),
    ...[...new Set(c.errors)].slice(0, 3).map((text) => `- error of WebGPU: ${short(text)}`),
  ];
}

/** On one line, and not too long. */
function short(text: string): string {
  const line = text.replaceAll(/\s+/g, " ").trim();
  return line.length > MESSAGE ? `${line.slice(0, MESSAGE)} ...` : line;
}

/** `T0`, `T0 and T1`, `T0, T1 and T2`. */
function listed(tiers: readonly string[]): string {
  return tiers.length > 1 ? `${tiers.slice(0, -1).join(", ")} and ${tiers.at(-1)}` : tiers[0];
}

function verdict(r: CheckReport): string {
  const tiers = r.tiers.map(({ tier }) => tier);
  const where = listed(tiers);
  const n = (count: number): string => count.toLocaleString("en-US");
  if (r.ended !== null)
    return `FAILED: the check ended early. ${r.ended} Until then ${n(r.checks)} checks, ${n(r.failures - 1)} other failures.`;
  if (r.failures > 0) return `FAILED: ${n(r.failures)} failures, ${n(r.checks)} checks on ${where}.`;
  const partly = r.only || !tierAtLeast(tiers.at(-1) as never, r.adapter.tier) ? " of those asked for" : "";
  return `PASSED: all ${n(r.checks)} checks${partly} on ${where}.`;
}
