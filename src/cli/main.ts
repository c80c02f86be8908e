#!/usr/bin/env node
/** `naysay <command>`: dispatches from one table. Adding a command is one entry here and one file beside it. */

import { readFileSync } from "node:fs";
import { NaysayError } from "../tensor/errors.ts";
import { FLAG_TABLE } from "../tensor/flags.ts";
import { didYouMean } from "../tensor/suggest.ts";
import { ADAPTER_CHOICES, goOn, planLaunch } from "./launch.ts";
import { Stopped } from "./stopped.ts";

/** What a command's module exports: takes the words after the command, gives the exit code. */
interface CommandModule {
  run(argv: readonly string[]): Promise<number>;
}

interface Command {
  name: string;
  summary: string;
  /** Whether the launcher finds an adapter first; "wanted": the command runs without one, too. */
  gpu: "needed" | "wanted" | "no";
  load(): Promise<CommandModule>;
}

const COMMANDS: readonly Command[] = [
  {
    name: "doctor",
    summary: "show the adapter, its tier and limits, and what to do where there is none",
    gpu: "wanted",
    load: () => import("./doctor.ts"),
  },
  {
    name: "check",
    summary: "check every op and whole programs on this adapter; a report for an issue",
    gpu: "needed",
    load: () => import("./check.ts"),
  },
  {
    name: "ops",
    summary: "list the ops with signature, derivative, lowering and what their tests cover",
    gpu: "no",
    load: () => import("./ops.ts"),
  },
  {
    name: "experiment",
    summary: "train every arm of a preset from one base and measure Pass@k",
    gpu: "needed",
    load: () => import("./experiment.ts"),
  },
  {
    name: "eval",
    summary: "measure a checkpoint: Pass@k, maj@k, pass^k, exact Pass@k, modes, entropy",
    gpu: "needed",
    load: () => import("./eval.ts"),
  },
  {
    name: "pretrain",
    summary: "make a preset's base policy from nothing",
    gpu: "needed",
    load: () => import("./pretrain.ts"),
  },
  {
    name: "tune",
    summary: "measure which kernels are fastest on this adapter, for every later run",
    gpu: "needed",
    load: () => import("./tune.ts"),
  },
  {
    name: "plan",
    summary: "show the memory that a training step of a model takes; needs no adapter",
    gpu: "no",
    load: () => import("./plan.ts"),
  },
];

/** Runs a command line; the exit code: 0 done, 1 failed, 2 not understood; 130 and 143 stopped by a signal. */
async function main(argv: readonly string[]): Promise<number> {
  const [word, ...rest] = argv;
  if (word === undefined || word === "help" || word === "--help" || word === "-h") {
    console.log(help());
    return 0;
  }
  if (word === "--version" || word === "-v") {
    console.log(version());
    return 0;
  }
  const command = COMMANDS.find(({ name }) => name === word);
  if (!command) {
    const names = COMMANDS.map(({ name }) => name);
    console.error(
      `naysay: expected a command, got "${word}". ${didYouMean(word, [...names, "help"])}\n\n${help()}`,
    );
    return 2;
  }
  const asksHelp = rest.includes("--help");
  if (command.gpu !== "no" && !asksHelp) {
    const plan = await planLaunch().catch((error) => {
      if (command.gpu === "wanted" && error.name === "DeviceError") return null;
      throw error;
    });
    if (plan?.line) console.error(plan.line);
    const code = plan && (await goOn(plan.env));
    if (code !== null) return code;
  }
  const { run } = await command.load();
  return run(rest);
}

function help(): string {
  const table = (rows: (readonly [string, string])[]) => {
    const width = Math.max(...rows.map(([left]) => left.length));
    return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`).join("\n");
  };
  return [
    "naysay <command> [flags]    train language-model policies on WebGPU",
    "\nCommands (`naysay <command> --help` for flags):",
    table(COMMANDS.map(({ name, summary }) => [name, summary])),
    "\nEnvironment:",
    table([
      ...FLAG_TABLE.map(({ name, takes, does }) => [`${name}=${takes}`, does] as const),
      [
        `NAYSAY_ADAPTER=${ADAPTER_CHOICES.join("|")}`,
        "which adapter to use; auto is a GPU, else SwiftShader, else what the system has",
      ],
    ]),
  ].join("\n");
}

function version(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

/** A result that could not be written: a script that reads it has to hear of that. Who closed a pipe has read enough. */
let lost = false;
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE" || lost) return;
  lost = true;
  console.error(
    `naysay: an output that can be written expected, got ${error.code}. Write it to another place.`,
  );
  process.exitCode = 1;
});

try {
  const code = await main(process.argv.slice(2));
  process.exitCode = lost && code === 0 ? 1 : code;
} catch (error) {
  if (!(error instanceof NaysayError)) throw error;
  if (error instanceof Stopped) {
    console.error(error.message);
    process.exitCode = error.exitCode;
  } else {
    console.error(`${error.name}: ${error.message}`);
    process.exitCode = error.name === "ConfigError" ? 2 : 1;
  }
}
