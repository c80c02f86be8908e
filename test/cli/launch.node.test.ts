/** Signals to a launcher and to what it started: each reaches the program once. */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, expect, test } from "vitest";
import { runCommand } from "../helpers/command.ts";
import { root } from "../helpers/sourceFiles.ts";

const folder = mkdtempSync(join(tmpdir(), "naysay-launch-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const program = join(folder, "program.mjs");
const launcher = join(folder, "launcher.mjs");
// Says its launcher's number, and a second after the first signal how many came.
writeFileSync(
  program,
  `let count = 0;
  for (const name of ["SIGINT", "SIGQUIT", "SIGTERM"]) process.on(name, () => {
    if (count++ === 0) setTimeout(() => { console.log("signals: " + count); process.exit(0); }, 1000);
  });
  setTimeout(() => { console.log("signals: none"); process.exit(0); }, 20_000);
  console.log("up " + process.ppid + ".");`,
);
writeFileSync(
  launcher,
  `import { runWith } from ${JSON.stringify(pathToFileURL(join(root, "dist/cli/launch.js")).href)};
  process.exitCode = await runWith({}, process.execPath, [${JSON.stringify(program)}]);`,
);

/** Starts a command, calls `up` with the launcher's number once the program runs, and gives all that was said. */
function runUntil(
  command: string,
  args: readonly string[],
  up: (pid: number, type: (text: string) => void) => void,
  env = process.env,
) {
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"], detached: true, env });
  let said = "";
  return new Promise<string>((resolve) => {
    child.stdout.on("data", (chunk) => {
      const [, before] = /up (\d+)\./.exec(said) ?? [];
      said += chunk;
      const [, pid] = /up (\d+)\./.exec(said) ?? [];
      if (pid && !before) up(Number(pid), (text) => child.stdin.write(text));
    });
    child.once("close", () => resolve(said));
  });
}

test.each(["SIGINT", "SIGQUIT", "SIGTERM"] as const)(
  "%s to the launcher, or to its group, reaches the program once",
  async (signal) => {
    const send = (to: 1 | -1) =>
      runUntil(process.execPath, [launcher], (pid) => process.kill(to * pid, signal));
    const [alone, group] = await Promise.all([send(1), send(-1)]);
    expect(alone).toMatch(/signals: 1\n/);
    expect(group).toMatch(/signals: 1\n/);
  },
);

test("two signals to the launcher alone, one soon after the other, are two; without cat as well", async () => {
  const twice = (to: 1 | -1, env: NodeJS.ProcessEnv) =>
    runUntil(
      process.execPath,
      [launcher],
      (pid) => {
        process.kill(to * pid, "SIGINT");
        if (to === 1) setTimeout(() => process.kill(pid, "SIGINT"), 50);
      },
      env,
    );
  const bare = { ...process.env, PATH: folder };
  const [alone, grouped, both] = await Promise.all([twice(1, process.env), twice(-1, bare), twice(1, bare)]);
  expect(alone).toMatch(/signals: 2\n/);
  expect(grouped).toMatch(/signals: 1\n/);
  expect(both).toMatch(/signals: 2\n/);
});

test("a witness without cat takes nothing of NODE_OPTIONS, which may import a launcher", async () => {
  const log = join(folder, "imported");
  const marker = join(folder, "marker.mjs");
  writeFileSync(
    marker,
    `import { appendFileSync } from "node:fs"; appendFileSync(${JSON.stringify(log)}, "x");`,
  );
  const env = { ...process.env, PATH: folder, NODE_OPTIONS: `--import ${pathToFileURL(marker).href}` };
  const later = (pid: number) => setTimeout(() => process.kill(pid, "SIGINT"), 500);
  expect(await runUntil(process.execPath, [launcher], later, env)).toMatch(/signals: 1\n/);
  // The launcher and the program.
  expect(readFileSync(log, "utf8")).toBe("xx");
});

test("signals are passed on from before there is a command: one in between would leave it behind", async () => {
  const counting = join(folder, "counting.mjs");
  writeFileSync(
    counting,
    `import { createRequire, syncBuiltinESMExports } from "node:module";
    const processes = createRequire(import.meta.url)("node:child_process");
    const { spawn } = processes;
    const counts = [];
    processes.spawn = (...args) => { counts.push(process.listenerCount("SIGTERM")); return spawn(...args); };
    syncBuiltinESMExports();
    const { runWith } = await import(${JSON.stringify(pathToFileURL(join(root, "dist/cli/launch.js")).href)});
    const code = await runWith({}, process.execPath, ["-e", "process.exit(5)"]);
    console.log(JSON.stringify([code, ...counts, process.listenerCount("SIGTERM")]));`,
  );
  const { stdout } = await runCommand(process.execPath, [counting]);
  // The command, then the witness.
  expect(JSON.parse(stdout)).toEqual([5, 1, 1, 0]);
});

test.skipIf(process.platform !== "linux" || spawnSync("script", ["--version"]).status !== 0)(
  "in a terminal, too, what is typed reaches the program once, and what only the launcher is sent",
  async () => {
    const inTerminal = (up: Parameters<typeof runUntil>[2]) =>
      runUntil("script", ["-qec", `"${process.execPath}" "${launcher}"`, "/dev/null"], up);
    const [typed, twice, sent] = await Promise.all([
      inTerminal((_, type) => type("\x03")),
      inTerminal((_, type) => {
        type("\x03");
        setTimeout(type, 100, "\x03");
      }),
      inTerminal((pid) => process.kill(pid, "SIGINT")),
    ]);
    expect(typed).toMatch(/signals: 1\r/);
    expect(twice).toMatch(/signals: 2\r/);
    expect(sent).toMatch(/signals: 1\r/);
  },
);
