/** Commands that are told to stop: what they say, the exit code, and the second signal. */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { root } from "../helpers/sourceFiles.ts";

const folder = mkdtempSync(join(tmpdir(), "naysay-stop-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Signal = "SIGINT" | "SIGTERM";

/** Runs Node and sends it a signal each time that its output, so far, has come to hold the next text. */
function signalled(args: readonly string[], when: readonly [text: string, signal: Signal][]) {
  const env = { ...process.env, NAYSAY_LAUNCHED: undefined, NAYSAY_ADAPTER: "swiftshader" };
  const child = spawn(process.execPath, args, { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] });
  let words = "";
  let sent = 0;
  const heard = (chunk: Buffer): void => {
    words += chunk;
    if (sent < when.length && words.includes(when[sent][0])) child.kill(when[sent++][1]);
  };
  child.stdout.on("data", heard);
  child.stderr.on("data", heard);
  return new Promise<{ code: number | null; signal: string | null; words: string }>((resolve) => {
    child.once("close", (code, signal) => resolve({ code, signal, words }));
  });
}

test("an experiment that is told to end while it pretrains", async () => {
  const config = join(folder, "long.json");
  writeFileSync(config, JSON.stringify({ pretrain: { steps: 1_000_000 } }));
  const out = join(folder, "run");
  const args = ["experiment", "--preset", "tiny", "--from-scratch", "--config", config, "--out", out];
  const ended = await signalled(["dist/cli/main.js", ...args], [["pretrain ", "SIGTERM"]]);
  expect(ended.words.trim().split("\n").at(-1)).toBe(
    "experiment: stopped. Run the same command again to go on.",
  );
  expect(ended.code, ended.words).toBe(143);
  expect(readdirSync(out)).toContain("run.json");
  expect(readdirSync(out).filter((name) => name.startsWith(".lock"))).toEqual([]);
});

test("pretraining says that nothing was written", async () => {
  const out = join(folder, "stopped.safetensors");
  const args = ["dist/cli/main.js", "pretrain", "--preset", "tiny", "--steps", "1000000", "--out", out];
  const ended = await signalled(args, [["pretrain ", "SIGINT"]]);
  expect(ended.words.trim().split("\n").at(-1)).toBe(
    "pretrain: stopped. Nothing was written: run the same command again.",
  );
  expect(ended.code, ended.words).toBe(130);
  expect(existsSync(out)).toBe(false);
});

describe("work that does not stop when it is told to", () => {
  const script = join(folder, "deaf.mjs");
  const running = pathToFileURL(join(root, "dist/cli/running.js")).href;
  writeFileSync(
    script,
    `import { abortOnSignals } from ${JSON.stringify(running)};
     const { signal } = abortOnSignals("deaf: stopped.");
     signal.addEventListener("abort", () => console.log("heard", signal.reason.message, signal.reason.exitCode));
     console.log("begun");
     setInterval(() => {}, 1000);`,
  );
  test.each([
    ["SIGINT", "SIGINT", 130],
    ["SIGINT", "SIGTERM", 130],
    ["SIGTERM", "SIGINT", 143],
  ] as const)("%s, then %s", async (first, second, code) => {
    const ended = await signalled(
      [script],
      [
        ["begun", first],
        ["heard", second],
      ],
    );
    expect(ended.words).toBe(`begun\nheard deaf: stopped. ${code}\n`);
    expect(ended.signal).toBe(second);
  });
});
