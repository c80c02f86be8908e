/** Runs a command with a limit of time; what it printed, how it ended. */

import { spawn } from "node:child_process";

/** Characters of each stream that are kept: its end says how it went. */
const KEPT = 20_000;

/**
 * Runs `command`, an array of program and arguments. `whole` keeps all of stdout, which then is a result and no talk. At the
 * limit the command and all that it started are killed.
 */
export function runLimited(command, { seconds, env = {}, cwd, whole = false, echo = false }) {
  const begun = performance.now();
  return new Promise((resolve) => {
    const child = spawn(command[0], command.slice(1), {
      cwd,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true, // a group of its own, to be killed with all it started
    });
    const text = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"]) {
      child[name].setEncoding("utf8");
      child[name].on("data", (chunk) => {
        text[name] += chunk;
        if (!(whole && name === "stdout")) text[name] = text[name].slice(-KEPT);
        if (echo) process.stderr.write(chunk);
      });
    }
    let timedOut = false;
    const kill = () => {
      timedOut = true;
      try {
        process.kill(-child.pid, "SIGKILL");
      } catch {
        // It has ended in this moment.
      }
    };
    const timer = setTimeout(kill, seconds * 1000);
    let failure = null;
    child.once("error", (error) => {
      failure = error.message;
    });
    child.once("close", (code, signal) => {
      clearTimeout(timer);
      resolve({
        command: command.join(" "),
        code,
        signal,
        timedOut,
        seconds: (performance.now() - begun) / 1000,
        ...(failure === null ? {} : { failure }),
        ...text,
      });
    });
  });
}
