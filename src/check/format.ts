/** A check's report as text that fits in an issue: who computed, a line a tier, what failed and how to repeat it, a verdict. */

import { tierAtLeast } from "../tensor/tiers.ts";
import { type Checked, type CheckReport, type Count, failuresOf, type TierReport } from "./report.ts";

/** Most characters of one message: compilers can be long-winded. */
const MESSAGE = 1200;
/** Most ops that are told of in full. */
const TOLD = 20;

/** The report as Markdown that also reads as plain text. */
export function formatCheck(report: CheckReport): string {
  const failed = report.tiers.flatMap((t) => tierFailures(report, t));
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
  let whose = "none";
  for (const c of all) {
    const own = Math.max(c.forward.worst, c.gradients.worst);
    if (own > worst) [worst, whose] = [own, c.name];
  }
  return `largest error ${worst.toPrecision(2)} of what is accepted (${whose})`;
}

/** The lines of each op or whole program of a tier that has findings. */
function tierFailures(report: CheckReport, t: TierReport): string[][] {
  const fallbacks = t.fallbacks.map((f) => [
    `### ${t.tier} ${f.name ?? f.variant}`,
    "",
    `- the kernel ${f.variant} is wrong here and was replaced by T0's, so results stay right: ${short(f.why)}`,
    ...(f.call ? [`- first used by ${f.call}`] : []),
    repeat(report, t.tier, f.name),
  ]);
  const wrong = [...t.ops, ...t.programs]
    .filter((c) => failuresOf(c) > 0)
    .map((c) => [`### ${t.tier} ${c.name}`, "", ...findings(c), repeat(report, t.tier, c.name)]);
  return [...fallbacks, ...wrong];
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

function repeat({ seed }: CheckReport, tier: string, name: string | null): string {
  const ops = name === null ? "" : ` --ops ${name}`;
  return `- to repeat: \`npx naysay check --tier ${tier}${ops} --seed ${seed}\``;
}

/** On one line, and not too long. */
function short(text: string): string {
  const line = text.replaceAll(/\s+/g, " ").trim();
  return line.length > MESSAGE ? `${line.slice(0, MESSAGE)} ...` : line;
}

function verdict(r: CheckReport): string {
  const tiers = r.tiers.map(({ tier }) => tier);
  const where = tiers.length > 1 ? `${tiers.slice(0, -1).join(", ")} and ${tiers.at(-1)}` : tiers[0];
  const n = (count: number): string => count.toLocaleString("en-US");
  if (r.ended !== null)
    return `FAILED: the check ended early. ${r.ended} Until then ${n(r.checks)} checks, ${n(r.failures - 1)} other failures.`;
  if (r.failures > 0) return `FAILED: ${n(r.failures)} failures, ${n(r.checks)} checks on ${where}.`;
  const partly = r.only || !tierAtLeast(tiers.at(-1) as never, r.adapter.tier) ? " of those asked for" : "";
  return `PASSED: all ${n(r.checks)} checks${partly} on ${where}.`;
}
