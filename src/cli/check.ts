/** `naysay check`: the op table and whole programs on this machine's adapter, as a report for an issue. */

import { writeFile } from "node:fs/promises";
import { formatCheck } from "../check/format.ts";
import { WHOLE_PROGRAMS } from "../check/programs.ts";
import { type CheckOptions, runCheck } from "../check/run.ts";
import { ConfigError } from "../tensor/errors.ts";
import type { Tier } from "../tensor/tiers.ts";
import { argHelp, readArgs } from "./args.ts";
import { HELP, TIER } from "./commonFlags.ts";
import { packageVersion } from "./packageVersion.ts";
import { StatusLine } from "./statusLine.ts";

const FLAGS = {
  tier: { ...TIER, help: "highest tier to check (default: what the adapter reaches)" },
  ops: { kind: "text", takes: "a,b", help: "only these ops and whole programs" },
  seed: { kind: "integer", default: 1, min: 0, max: 0xffffffff, help: "seed of the inputs" },
  json: { kind: "flag", help: "one JSON object instead of text" },
  out: { kind: "text", takes: "file", help: "write the report to a file, too" },
  help: HELP,
} as const;

/** Runs the command: exit code 0 where all passed, 1 with failures. `more` is for tests. */
export async function run(argv: readonly string[], more: CheckOptions = {}): Promise<number> {
  const args = readArgs(argv, FLAGS);
  if (args.help) {
    const programs = WHOLE_PROGRAMS.map(({ name, does }) => `  ${name.padEnd(15)} ${does}`).join("\n");
    console.log(`naysay check: does naysay compute right on this adapter?\n${argHelp(FLAGS)}`);
    console.log(`Ops are those of \`naysay ops\`. Whole programs:\n${programs}`);
    return 0;
  }
  const status = new StatusLine(process.stderr);
  const report = await runCheck({
    tier: args.tier as Tier | undefined,
    seed: args.seed,
    ops: args.ops?.split(",").map((name) => name.trim()),
    versions: versions(),
    onProgress: ({ tier, name, done, total, failures }) =>
      status.show(
        `check: ${tier} ${name}, ${done} of ${total}${failures > 0 ? `, ${failures} failures` : ""}`,
      ),
    ...more,
  });
  status.clear();
  const text = args.json ? JSON.stringify(report, null, 2) : formatCheck(report);
  console.log(text);
  if (args.out !== undefined) {
    await writeFile(args.out, `${text}\n`).catch((cause) => {
      throw new ConfigError(
        `--out: a file that can be written was expected, got ${args.out}: ${cause.message}. Choose another path.`,
        { cause },
      );
    });
  }
  return report.failures > 0 ? 1 : 0;
}

/** Dawn's, where it is what computes. */
function versions(): Record<string, string> {
  const dawn = "Deno" in globalThis ? null : packageVersion("webgpu");
  return dawn === null ? {} : { webgpu: dawn };
}
