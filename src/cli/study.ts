/** A study from the command line: `naysay experiment --preset controls`. The work is `runStudy`; here is text. */

import { join } from "node:path";
import { fewKs, findings, withInterval } from "../eval/findings.ts";
import type { PilotOutcome, StudySummary } from "../eval/studySummary.ts";
import { adapterSummary } from "../eval/summary.ts";
import { alignColumns } from "../eval/table.ts";
import { runStudy, type StudyProgress } from "../rl/study.ts";
import type { StudyConfig } from "../rl/studyConfig.ts";
import { files } from "./files.ts";
import { duration, progressText } from "./progressText.ts";
import { versions } from "./record.ts";
import { abortOnSignals, openIn } from "./running.ts";
import { StatusLine } from "./statusLine.ts";

export interface StudyCommand {
  config: StudyConfig;
  preset: string;
  out: string | undefined;
  command: string;
  loadBase(name: string): Promise<Uint8Array>;
  json: boolean;
}

/** Runs the command; exit code 0 when summary.json is written. */
export async function studyCommand(given: StudyCommand): Promise<number> {
  const { config, preset, command, loadBase } = given;
  const out = given.out ?? join("runs", preset);
  const { device, tuning, destroy } = await openIn(out);
  const status = new StatusLine(process.stderr);
  const abort = abortOnSignals();
  try {
    const summary = await runStudy({
      config,
      preset,
      files,
      out,
      adapter: adapterSummary(device.info),
      command,
      versions: versions(tuning),
      loadBase,
      signal: abort.signal,
      onPilot: (outcome) => status.show(pilotText(outcome), true),
      onProgress: (progress) =>
        status.show(
          studyProgressText(progress),
          progress.event === undefined || progress.event.warnings.length > 0,
        ),
    });
    status.clear();
    console.log(given.json ? JSON.stringify(summary, null, 2) : studyText(summary));
    if (!given.json) console.log(`\n${out}/report.html, report.md, summary.json`);
    return 0;
  } finally {
    status.clear();
    abort.off();
    destroy();
  }
}

/** What the pilot says, before the study begins. */
export function pilotText({ arms, control, seeds, planned, detectable, difference }: PilotOutcome): string {
  const at = Object.entries(detectable).map(([k, value]) => `${(value * 100).toFixed(1)} at k=${k}`);
  return [
    `pilot (${arms.join(" and ")} under ${control}, seeds ${seeds.join(", ")}): the smallest difference that ${planned.seeds} seeds and ${planned.prompts} problems tell from 0 in four of five cases, in points of Pass@k:`,
    `  ${at.join(", ")}`,
    `  it is meant to see ${(difference * 100).toFixed(1)} points`,
  ].join("\n");
}

/** One line for a study's progress. */
export function studyProgressText({ cell, done, total, secondsLeft, event }: StudyProgress): string {
  const left = secondsLeft === null ? "" : ` · about ${duration(secondsLeft)} left`;
  if (!event) return `${cell}: done (${done} of ${total} cells)${left}`;
  return `${cell} (${done} of ${total})${left} · ${progressText({ ...event, secondsLeft: null })}`;
}

/** A table for each control, and the findings. */
export function studyText(summary: StudySummary): string {
  const { base, controls, ks, focus } = summary;
  const few = fewKs(ks);
  const blocks = controls.map(({ name, about, arms, comparisons }) => {
    const head = [
      "",
      ...few.map((k) => `pass@${k}`),
      "entropy",
      "updates",
      ...few.map((k) => `${focus} - it, k=${k}`),
    ];
    const rows = [base, ...arms].map((arm) => {
      const found = comparisons.find(({ a, b }) => a === focus && b === arm.name);
      return [
        arm.name,
        ...few.map((k) => (arm.passAtK[k].mean * 100).toFixed(1)),
        arm.entropy.mean.toFixed(3),
        arm.updates.toFixed(0),
        ...few.map((k) => (found && arm.name !== focus ? withInterval(found.passAtK[k]) : "")),
      ];
    });
    return [`${name}${about === "" ? "" : `: ${about}`}`, alignColumns([head, ...rows])].join("\n");
  });
  const found = findings(summary).map(({ about, sentences }) =>
    [`${about}:`, ...sentences.map((text) => `- ${text}`)].join("\n"),
  );
  return [...blocks, ...found].join("\n\n");
}
