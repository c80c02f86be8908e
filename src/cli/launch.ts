/**
 * The launcher: finds an adapter before the work starts. Vulkan reads its variables when a process is loaded, so a
 * software adapter means starting Node once more with them set; Deno takes them as it is. Where the machine shows no
 * sign of a GPU nothing is probed at all.
 */

import { type ChildProcess, type SendHandle, type Serializable, spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { constants } from "node:os";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { ConfigError, DeviceError } from "../tensor/errors.ts";
import { machineFacts, mayHaveGpu, remedyFor } from "../tensor/remedy.node.ts";
import { didYouMean } from "../tensor/suggest.ts";
import { lavapipeEnv, type ProcessEnv, SOFTWARE_PACKAGE, swiftshaderEnv } from "./software.ts";

/** What NAYSAY_ADAPTER takes: `auto` a GPU, else SwiftShader, else what the system has; `default` whatever the system gives. */
export const ADAPTER_CHOICES = ["auto", "default", "swiftshader", "lavapipe"] as const;

/** How to start: variables to add (none: go on in this process) and a line to print on stderr. */
export interface LaunchPlan {
  env: ProcessEnv;
  line: string | null;
}

/**
 * Names the choice that a process was started for, so that it does not start another: nor do the programs that it starts, as
 * long as they choose the same (or nothing: they inherit its driver).
 */
const LAUNCHED = "NAYSAY_LAUNCHED";

/** Signals that are for the command. */
const PASSED = ["SIGINT", "SIGQUIT", "SIGTERM", "SIGHUP", "SIGUSR2"] as const;
/** For a child's last messages, ms. */
const MOST_WAIT = 1000;
/** In which a witness dies of a signal that it got, ms. */
const DYING = 200;
/** Between two signals to the command, ms. */
const APART = 20;

const GO_ON: LaunchPlan = { env: {}, line: null };

/**
 * Chooses the adapter. Throws `ConfigError` for an unknown or absent choice and `DeviceError`, with this platform's
 * remedy, where there is none.
 */
export async function planLaunch(env: NodeJS.ProcessEnv = process.env): Promise<LaunchPlan> {
  const choice = env.NAYSAY_ADAPTER || "auto";
  if (choice === "default" || choice === env[LAUNCHED]) return GO_ON;
  if (choice === "swiftshader") {
    const found = await swiftshaderEnv();
    if (found) return started(choice, found, swiftshaderLine("NAYSAY_ADAPTER=swiftshader"));
    throw new ConfigError(
      `NAYSAY_ADAPTER: expected the package ${SOFTWARE_PACKAGE} (Linux x64) for swiftshader, got none. ` +
        `Run \`npm install --save-dev ${SOFTWARE_PACKAGE}\`.`,
    );
  }
  if (choice === "lavapipe") {
    const found = lavapipeEnv();
    if (found)
      return started(
        choice,
        found,
        "adapter: lavapipe (software, from the system's Mesa): NAYSAY_ADAPTER=lavapipe",
      );
    throw new ConfigError(
      "NAYSAY_ADAPTER: expected Mesa's lavapipe, got no lvp_icd.*.json. " +
        "Debian: `sudo apt install -t bookworm-backports mesa-vulkan-drivers libvulkan1`.",
    );
  }
  if (choice === "auto") return autoPlan(env);
  throw new ConfigError(
    `NAYSAY_ADAPTER: expected ${ADAPTER_CHOICES.join(", ")}, got "${choice}". ${didYouMean(choice, ADAPTER_CHOICES)}`,
  );
}

async function autoPlan(env: NodeJS.ProcessEnv): Promise<LaunchPlan> {
  // Metal and Direct3D need no variables; whoever named a Vulkan driver has chosen.
  if (process.platform !== "linux" || env.VK_ICD_FILENAMES || env.VK_DRIVER_FILES) return GO_ON;
  const facts = machineFacts();
  // Deno asks for an adapter in this process, and says itself where there is none.
  if (deno() && mayHaveGpu(facts)) return GO_ON;
  let probed = mayHaveGpu(facts) ? probe() : null;
  if (probed?.kind === "gpu") return GO_ON;
  const swiftshader = await swiftshaderEnv();
  if (swiftshader) return started("auto", swiftshader, swiftshaderLine("no GPU was found"));
  if (deno()) return GO_ON;
  probed ??= probe();
  if (probed.kind === "software") {
    return { env: {}, line: `adapter: ${probed.description} (software, from the system): no GPU was found` };
  }
  if (probed.kind === "gpu") return GO_ON;
  throw new DeviceError(`device: expected a GPU adapter, got none. ${remedyFor(facts)}`);
}

function started(choice: string, env: ProcessEnv, line: string): LaunchPlan {
  return { env: { ...env, [LAUNCHED]: choice }, line };
}

function swiftshaderLine(why: string): string {
  return `adapter: SwiftShader (software, from the development dependency ${SOFTWARE_PACKAGE}): ${why}`;
}

/** What a fresh process finds. */
interface Probed {
  kind: "gpu" | "software" | "none";
  description: string;
}

/** Asks for an adapter in a process of its own: a broken driver then crashes that one. */
function probe(): Probed {
  let dawn: string;
  try {
    dawn = pathToFileURL(createRequire(import.meta.url).resolve("webgpu")).href;
  } catch {
    // Without Dawn there is nothing to launch for; `requestGpu` tells what to install.
    return { kind: "gpu", description: "" };
  }
  const script = `
    import { create } from ${JSON.stringify(dawn)};
    globalThis.keep = create([]);
    const info = (await keep.requestAdapter({ powerPreference: "high-performance" }))?.info;
    console.log(JSON.stringify(info ? { kind: info.isFallbackAdapter ? "software" : "gpu", description: info.description } : null));
    process.exit(0);`;
  const { stdout } = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
    encoding: "utf8",
    timeout: 30_000,
    stdio: ["ignore", "pipe", "ignore"],
    // NODE_OPTIONS may import the adapter, which would probe again, without end.
    env: { ...process.env, NAYSAY_ADAPTER: "default" },
  });
  try {
    return (JSON.parse(stdout) as Probed | null) ?? { kind: "none", description: "" };
  } catch {
    return { kind: "none", description: "" };
  }
}

/** Runs a command with variables added, its streams, signals and messages passed through; the exit code. */
export function runWith(env: ProcessEnv, command: string, args: readonly string[]): Promise<number> {
  let sent: Promise<void> = Promise.resolve();
  const pass = async (signal: NodeJS.Signals) => {
    if (await witness.got(signal)) return;
    // One after another: two at a time would arrive as one.
    sent = sent.then(() => child.kill(signal)).then(() => sleep(APART));
  };
  // Before there is a command: a signal in between would end this process and leave that.
  for (const name of PASSED) process.on(name, pass);
  const child = spawn(command, args, {
    stdio: forked() ? ["inherit", "inherit", "inherit", "ipc"] : "inherit",
    serialization: messageFormat(),
    env: { ...process.env, ...env },
  });
  // After it: what the witness gets the command has got.
  const witness = startWitness();
  const messages = passMessages(child);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", async (code, signal) => {
      // Its last messages come after its exit, and before its channel ends.
      if (child.connected) await ended(child);
      for (const name of PASSED) process.off(name, pass);
      witness.end();
      await messages.end();
      resolve(code ?? 128 + (signal ? constants.signals[signal] : 1));
    });
  });
}

/**
 * Tells signals to this process alone from those to its whole group, which the command has got too: a terminal's keys send them
 * so, and `timeout`. The witness is a process of the group that dies of any. It ends with this one, killed or not.
 */
function startWitness(): { got(signal: NodeJS.Signals): Promise<boolean>; end(): void } {
  let stdin: Writable;
  let death: Promise<NodeJS.Signals | null>;
  const start = (command = "cat", args: string[] = []): void => {
    // NODE_OPTIONS may import the adapter, which would start a launcher, and that a witness, without end.
    const env = { ...process.env, NODE_OPTIONS: "" };
    const one = spawn(command, args, { stdio: ["pipe", "ignore", "ignore"], env });
    one.unref();
    stdin = one.stdin.on("error", () => {});
    death = new Promise((resolve) => one.once("exit", (_, signal) => resolve(signal)));
    // Without cat a second Node, which takes more to do the same.
    one.once("error", () => command === "cat" && start(process.execPath, ["-e", "process.stdin.resume()"]));
  };
  start();
  return {
    async got(signal) {
      const how = await Promise.race([death, sleep(DYING, null)]);
      if (how === signal) start();
      return how === signal;
    },
    end: () => void stdin.destroy(),
  };
}

/** Waits for the end of a child's channel; a process that the child left may hold it open for as long as it lives. */
const ended = (child: ChildProcess): Promise<void> =>
  new Promise((done) => {
    const late = setTimeout(done, MOST_WAIT);
    child.once("disconnect", () => {
      clearTimeout(late);
      done();
    });
  });

/** Whether a parent is there to hear this process: `process.send` stays when it has gone. */
const forked = (): boolean => process.send !== undefined && process.connected;

/** Where this process was forked: its parent's messages go on to the child, and the child's to the parent. */
function passMessages(child: ChildProcess): { end(): Promise<void> } {
  if (!forked()) return { end: async () => {} };
  let sent: Promise<unknown> = Promise.resolve();
  // Whoever is gone misses what is sent: the end of either is told in other ways.
  const down = (message: Serializable, handle: SendHandle) => child.send(message, handle, {}, () => {});
  const leave = () => child.connected && child.disconnect();
  child.on("message", (message: Serializable, handle: SendHandle) => {
    sent = new Promise((done) => process.send?.(message, handle, {}, done));
  });
  child.once("disconnect", () => sent.then(() => process.connected && process.disconnect()));
  process.on("message", down).once("disconnect", leave);
  return {
    end: async () => {
      await sent;
      // A listener would keep this process alive.
      process.off("message", down).off("disconnect", leave);
    },
  };
}

/** How the parent of this process writes its messages: Node takes the variable that says so away as it starts. */
function messageFormat(): "json" | "advanced" {
  try {
    const advanced = /(^|\0)NODE_CHANNEL_SERIALIZATION_MODE=advanced\0/;
    return advanced.test(readFileSync("/proc/self/environ", "utf8")) ? "advanced" : "json";
  } catch {
    return "json";
  }
}

interface DenoHost {
  dlopen(path: string, symbols: Record<string, never>): unknown;
}

/** Deno, where this runs in it. */
function deno(): DenoHost | null {
  return (globalThis as { Deno?: DenoHost }).Deno ?? null;
}

/**
 * Goes on with the variables of a plan: in Deno here (null: the caller does the work), in Node by starting this very
 * command line once more (its exit code).
 */
export async function goOn(env: ProcessEnv): Promise<number | null> {
  if (Object.keys(env).length === 0) return null;
  const host = deno();
  if (!host) return relaunch(env);
  Object.assign(process.env, env);
  // wgpu opens Vulkan's loader by its name at the first request. LD_LIBRARY_PATH comes too late for that, but a library
  // that is open is found by its name.
  for (const folder of env.LD_LIBRARY_PATH?.split(":") ?? []) {
    const loader = join(folder, "libvulkan.so.1");
    if (existsSync(loader)) host.dlopen(loader, {});
  }
  return null;
}

/** Starts this very command line again with variables added. */
export async function relaunch(env: ProcessEnv): Promise<number> {
  // The port that a debugger was told is the program's.
  const inspecting = [...process.execArgv, process.env.NODE_OPTIONS].some((a) => a?.includes("--inspect"));
  if (inspecting) (await import("node:inspector")).close();
  return runWith(env, process.execPath, [...process.execArgv, ...process.argv.slice(1)]);
}
