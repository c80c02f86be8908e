/** Runs a program for a test and keeps what it printed. */

import { spawn } from "node:child_process";
import { root } from "./sourceFiles.ts";

/** What a program left behind. */
export interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs a program from the repository's root. In `env`, `undefined` removes a variable. */
export function runCommand(
  command: string,
  args: readonly string[],
  env: Record<string, string | undefined> = {},
  cwd: string = root,
): Promise<Outcome> {
  const child = spawn(command, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, stdout, stderr }));
  });
}

/** Runs the built command line as a user would: without what the test runner has set. */
export function naysay(
  args: readonly string[],
  env: Record<string, string | undefined> = {},
): Promise<Outcome> {
  const clean = {
    NAYSAY_LAUNCHED: undefined,
    VK_ICD_FILENAMES: undefined,
    VK_DRIVER_FILES: undefined,
    NAYSAY_ADAPTER: undefined,
  };
  return runCommand(process.execPath, ["dist/cli/main.js", ...args], { ...clean, ...env });
}
