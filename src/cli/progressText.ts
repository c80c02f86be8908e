/** Progress of an experiment as text. */
import type { ProgressEvent } from "../rl/experimentProgress.ts";

/** Seconds as a person says them. */
export function duration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 90) return `${whole} s`;
  return whole < 5400 ? `${Math.round(whole / 60)} min` : `${(whole / 3600).toFixed(1)} h`;
}

/** One line for a progress event. */
export function progressText(event: ProgressEvent): string {
  const { phase, arm, done, total, secondsLeft, values, warnings, summary } = event;
  const numbers = Object.entries(values).map(([name, value]) => `${name} ${value.toFixed(3)}`);
  const left = secondsLeft === null ? "" : `about ${duration(secondsLeft)} left`;
  const parts =
    phase === "arm" && summary
      ? [
          `${arm}: done (${done} of ${total} arms)`,
          ...numbers,
          `entropy ${summary.entropy.toFixed(3)}`,
          `${duration(summary.trainSeconds + summary.rolloutSeconds + (summary.evaluationSeconds ?? 0))}`,
        ]
      : [`${arm ?? "base"}: ${phase} ${done}/${total}`, ...numbers];
  const lines = [[...parts, left].filter((part) => part !== "").join(" · ")];
  return [...lines, ...warnings.map((warning) => `  warning: ${warning}`)].join("\n");
}
