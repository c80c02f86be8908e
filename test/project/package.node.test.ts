/** The packed package, used as others will use it: imported by Node, type-checked, bundled for a browser. */

import { type ChildProcess, fork } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { build } from "vite";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { unpackTar } from "../../src/cli/archive.ts";
import { softwarePackage } from "../../src/cli/software.ts";
import { runCommand } from "../helpers/command.ts";
import { root } from "../helpers/sourceFiles.ts";

/** Largest browser entry of the engine, bytes after gzip. */
const BROWSER_BUDGET = 150_000;

interface PackageFile {
  name: string;
  bin: Record<string, string>;
  exports: Record<string, string | { types: string; node?: string; default?: string }>;
  dependencies: Record<string, string>;
}

const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as PackageFile;

/** Whether a file of dist/ has its source. */
function hasSource(path: string): boolean {
  return existsSync(join(root, path.replace("dist", "src").replace(/\.(js|d\.ts)$/, ".ts")));
}

/** Public entry points whose source is there, as specifiers. */
const specifiersOf = (anywhere: boolean): string[] =>
  Object.entries(manifest.exports).flatMap(([path, target]) => {
    if (typeof target !== "object" || (target.default !== undefined) !== anywhere) return [];
    const file = target.default ?? target.node!;
    return existsSync(join(root, file.replace("dist", "src").replace(".js", ".ts")))
      ? [join("naysay", path)]
      : [];
  });
const entries = specifiersOf(true);
/** Those that Node alone has. */
const nodeEntries = specifiersOf(false);

/** A folder outside the repository with the packed package and what it depends on under node_modules. */
let consumer: string;
let installed: string;

beforeAll(async () => {
  consumer = mkdtempSync(join(tmpdir(), "naysay-pack-"));
  const args = ["pack", "--ignore-scripts", "--silent", "--pack-destination", consumer];
  const packed = await runCommand("npm", args);
  expect(packed.code, packed.stderr).toBe(0);
  const unpacked = join(consumer, "unpacked");
  mkdirSync(unpacked);
  unpackTar(gunzipSync(readFileSync(join(consumer, packed.stdout.trim().split("\n").at(-1)!))), unpacked);
  const modules = join(consumer, "node_modules");
  installed = join(modules, manifest.name);
  cpSync(join(unpacked, "package"), installed, { recursive: true });
  for (const name of Object.keys(manifest.dependencies)) {
    mkdirSync(join(modules, name, ".."), { recursive: true });
    symlinkSync(join(root, "node_modules", name), join(modules, name));
  }
  writeFileSync(join(consumer, "package.json"), '{"type":"module"}');
});

afterAll(() => rmSync(consumer, { recursive: true, force: true }));

test("publint finds nothing", async () => {
  const { messages } = await publint({ pkgDir: installed, pack: false, strict: true });
  const data = JSON.parse(readFileSync(join(installed, "package.json"), "utf8"));
  const found = messages
    // An entry point whose source is still to be written is not the package's fault.
    .filter(
      (m) => m.code !== "FILE_DOES_NOT_EXIST" || hasSource(String(m.path.reduce((o, key) => o?.[key], data))),
    )
    .map((message) => formatMessage(message, data, { color: false }));
  expect(found).toEqual([]);
});

test("holds what it needs and no tests", () => {
  for (const path of [
    "LICENSE",
    "dist/cli/main.js",
    "assets/quick-base.safetensors",
    "assets/quick-base.json",
    "dist/tensor/gpu.node.js",
    "dist/tensor/gpu.deno.js",
    "dist/tensor/gpu.browser.js",
  ]) {
    expect(existsSync(join(installed, path)), path).toBe(true);
  }
  for (const path of ["test", "node_modules", ".ci", "scripts"]) {
    expect(existsSync(join(installed, path)), path).toBe(false);
  }
  expect(readFileSync(join(installed, "dist/cli/main.js"), "utf8").startsWith("#!/usr/bin/env node")).toBe(
    true,
  );
});

/** Relative links of a page, its pictures among them. */
const linksOf = (text: string): string[] =>
  [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link).filter((link) => !/^[a-z]+:/.test(link));

/** The anchors of a page's headings. */
const anchorsOf = (text: string): string[] =>
  [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );

test("a link of its README and docs leads to a file of the package, and to a heading of that", () => {
  const docs = readdirSync(join(installed, "docs"), { recursive: true, encoding: "utf8" });
  const pages = ["README.md", ...docs.filter((p) => p.endsWith(".md")).map((p) => join("docs", p))];
  const links = pages.flatMap((page) =>
    linksOf(readFileSync(join(installed, page), "utf8")).map((link) => ({ page, link })),
  );
  expect(links.length).toBeGreaterThan(50);
  const broken = links.filter(({ page, link }) => {
    const [path, anchor] = link.split("#");
    const target = path === "" ? page : join(page, "..", path);
    // Tests are in the repository alone.
    if (target.startsWith("test/")) return !existsSync(join(root, target));
    if (!existsSync(join(installed, target))) return true;
    if (anchor === undefined || !target.endsWith(".md")) return false;
    return !anchorsOf(readFileSync(join(installed, target), "utf8")).includes(anchor);
  });
  expect(broken).toEqual([]);
});

test("every entry point imports as ESM in Node, without Dawn", async () => {
  const code = [...entries, ...nodeEntries]
    .map((specifier) => `console.log(Object.keys(await import("${specifier}")).length);`)
    .join("");
  const { code: status, stderr } = await runCommand(
    process.execPath,
    ["--input-type=module", "-e", code],
    {},
    consumer,
  );
  expect(status, stderr).toBe(0);
});

test("a missing Dawn is a DeviceError that names the command to run", async () => {
  const code = `
    const { requestGpu } = await import(${JSON.stringify(`file://${installed}/dist/tensor/gpu.node.js`)});
    await requestGpu().catch((error) => console.log(error.name, error.message));`;
  const { stdout } = await runCommand(process.execPath, ["--input-type=module", "-e", code], {}, consumer);
  expect(stdout).toMatch(/^DeviceError device: .*npm install webgpu@/);
});

describe("naysay/adapter", () => {
  const app = ["--import", "naysay/adapter", "app.js"];
  const clean = { NAYSAY_LAUNCHED: undefined, VK_ICD_FILENAMES: undefined, VK_DRIVER_FILES: undefined };
  beforeAll(() => {
    writeFileSync(
      join(consumer, "app.js"),
      "console.log(process.env.VK_ICD_FILENAMES); process.exitCode = 3;",
    );
  });

  // Before the software adapter is there: it then asks the system in a process of its own, which has the variable too.
  test.runIf(process.platform === "linux")("in NODE_OPTIONS starts no process without end", async () => {
    writeFileSync(
      join(consumer, "count.js"),
      'import { appendFileSync } from "node:fs"; appendFileSync("started", process.argv[1] + "\\n");',
    );
    const env = {
      ...clean,
      NAYSAY_ADAPTER: undefined,
      NODE_OPTIONS: "--import ./count.js --import naysay/adapter",
    };
    const dawn = join(consumer, "node_modules/webgpu");
    symlinkSync(join(root, "node_modules/webgpu"), dawn);
    const run = runCommand("timeout", ["20", process.execPath, "app.js"], env, consumer);
    const { code } = await run.finally(() => rmSync(dawn));
    expect([1, 3]).toContain(code);
    const started = readFileSync(join(consumer, "started"), "utf8").trim().split("\n");
    // The app, and the process that asks.
    expect(started).toHaveLength(2);
  });

  test.skipIf(!softwarePackage())("starts an app on the adapter that NAYSAY_ADAPTER names", async () => {
    const scope = join(consumer, "node_modules/@sparticuz");
    mkdirSync(scope);
    symlinkSync(join(root, "node_modules/@sparticuz/chromium"), join(scope, "chromium"));
    const env = { ...clean, NAYSAY_ADAPTER: "swiftshader" };
    const { code, stdout, stderr } = await runCommand(process.execPath, app, env, consumer);
    expect(stdout).toMatch(/swiftshader_icd\.json\n$/);
    expect(stderr).toMatch(/^adapter: SwiftShader .*: NAYSAY_ADAPTER=swiftshader\n$/);
    expect(code).toBe(3);
    const [evaluated, read] = await Promise.all(
      ["-e 'console.log(4)'", "< app.js"].map((program) =>
        runCommand("sh", ["-c", `"${process.execPath}" --import naysay/adapter ${program}`], env, consumer),
      ),
    );
    expect([evaluated.code, evaluated.stdout]).toEqual([0, "4\n"]);
    // Node has read it when the adapter is chosen: a second process would do nothing.
    expect(read.stderr).toMatch(
      /ConfigError: naysay\/adapter: a program in a file expected, got one from standard/,
    );
    expect([read.code, read.stdout]).toEqual([1, ""]);
  });

  test.skipIf(!softwarePackage()).each(["json", "advanced"] as const)(
    "a forked program hears its parent and is heard by it: %s",
    async (serialization) => {
      const echo = join(consumer, "echo.js");
      writeFileSync(
        echo,
        `process.send("ready:" + /swiftshader/.test(process.env.VK_ICD_FILENAMES));
        process.on("message", (message) => process.send({ message }, () => process.disconnect()));`,
      );
      const child = fork(echo, [], {
        cwd: consumer,
        execArgv: ["--import", "naysay/adapter"],
        env: { ...process.env, ...clean, NAYSAY_ADAPTER: "swiftshader" },
        serialization,
        silent: true,
      });
      const heard: unknown[] = [];
      child.on("message", (message) => heard.push(message));
      // Before the program is there to hear it.
      child.send({ map: new Map([[1, 2]]) });
      const code = await new Promise((resolve) => child.once("close", resolve));
      const map = serialization === "json" ? {} : new Map([[1, 2]]);
      expect(heard).toEqual(["ready:true", { message: { map } }]);
      expect(code).toBe(0);
    },
  );

  test.skipIf(!softwarePackage())("a forked program's exit code survives its parent's leaving", async () => {
    const program = join(consumer, "leave.js");
    writeFileSync(program, 'process.once("disconnect", () => process.exit(5)); process.send("up");');
    const child = fork(program, [], {
      cwd: consumer,
      execArgv: ["--import", "naysay/adapter"],
      env: { ...process.env, ...clean, NAYSAY_ADAPTER: "swiftshader" },
      silent: true,
    });
    child.once("message", () => child.disconnect());
    // Node does not say that a child is closed whose channel its parent left.
    expect(await new Promise((resolve) => child.once("exit", resolve))).toBe(5);
  });

  /** A forked program, and the message that it says first. */
  const forked = async (text: string): Promise<{ child: ChildProcess; said: unknown }> => {
    const program = join(consumer, "forked.js");
    writeFileSync(program, text);
    const child = fork(program, [], {
      cwd: consumer,
      execArgv: ["--import", "naysay/adapter"],
      env: { ...process.env, ...clean, NAYSAY_ADAPTER: "swiftshader" },
      silent: true,
      // A group of its own, for killAll.
      detached: true,
    });
    return { child, said: await new Promise((resolve) => child.once("message", resolve)) };
  };
  /** Ends what is left of a forked program and what it started. */
  const killAll = (child: ChildProcess): void => {
    try {
      process.kill(-(child.pid as number), "SIGKILL");
    } catch {} // Nothing is.
  };
  const exitOf = (child: ChildProcess) => new Promise((resolve) => child.once("exit", resolve));

  test.skipIf(!softwarePackage()).each(["SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR2"] as const)(
    "%s is the program's",
    async (signal) => {
      const { child } = await forked(
        `process.on("${signal}", () => process.exit(6)); setInterval(() => {}, 1000); process.send("up");`,
      );
      try {
        child.kill(signal);
        const late = new Promise((resolve) => setTimeout(resolve, 20_000, "late"));
        expect(await Promise.race([exitOf(child), late])).toBe(6);
      } finally {
        killAll(child);
      }
    },
  );

  test.skipIf(!softwarePackage())(
    "a program ends though one that it left holds its channel open",
    async () => {
      const { child, said } = await forked(
        `import { spawn } from "node:child_process";
      const left = spawn("sleep", ["60"], { detached: true, stdio: ["ignore", "ignore", "ignore", 3] });
      process.send(left.pid, () => process.exit(7));`,
      );
      try {
        const late = new Promise((resolve) => setTimeout(resolve, 20_000, "late"));
        expect(await Promise.race([exitOf(child), late])).toBe(7);
      } finally {
        process.kill(said as number);
      }
    },
  );

  test.skipIf(!softwarePackage())("a debugger's port is the program's", async () => {
    const env = { ...clean, NAYSAY_ADAPTER: "swiftshader" };
    const server = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    const { code, stderr } = await runCommand(process.execPath, [`--inspect=${port}`, ...app], env, consumer);
    expect(code).toBe(3);
    expect(stderr).not.toContain("address already in use");
    expect(stderr.match(/Debugger listening/g)).toHaveLength(2);
  });

  test("says what a wrong name should have been, and starts nothing", async () => {
    const env = { ...clean, NAYSAY_ADAPTER: "lavapip" };
    const { code, stdout, stderr } = await runCommand(process.execPath, app, env, consumer);
    expect(stderr).toMatch(/ConfigError: NAYSAY_ADAPTER: .* Did you mean "lavapipe"\?/);
    expect(stdout).toBe("");
    expect(code).toBe(1);
  });
});

test.each(["nodenext", "bundler"])("types resolve for moduleResolution %s", async (resolution) => {
  const specifiers = [...entries, ...nodeEntries, "./node_modules/naysay/dist/tensor/device.js"];
  const lines = specifiers.map(
    (specifier, i) => `import * as m${i} from "${specifier}"; export const n${i} = m${i};`,
  );
  writeFileSync(join(consumer, "use.ts"), lines.join("\n"));
  const compilerOptions = {
    noEmit: true,
    strict: true,
    target: "es2022",
    lib: ["ES2023", "DOM", "DOM.Iterable", "ESNext.Disposable"],
    module: resolution === "bundler" ? "esnext" : "nodenext",
    moduleResolution: resolution,
    types: [],
  };
  writeFileSync(join(consumer, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["use.ts"] }));
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const { code, stdout } = await runCommand(process.execPath, [tsc, "-p", consumer]);
  expect(code, stdout).toBe(0);
});

/** Bundles a page that imports everything from `source`: all chunks, and those needed before it can start. */
async function bundle(source: string): Promise<{ chunks: Chunk[]; needed: Chunk[] }> {
  const input = join(consumer, "page.js");
  writeFileSync(input, `export * from ${JSON.stringify(source)};\n`);
  const result = await build({
    root: consumer,
    configFile: false,
    logLevel: "silent",
    build: { write: false, target: "es2022", lib: { entry: input, formats: ["es"], fileName: "page" } },
  });
  const [{ output }] = result as unknown as [{ output: Chunk[] }];
  const chunks = output.filter((chunk) => chunk.type === "chunk");
  const needed = new Set(chunks.filter((chunk) => chunk.isEntry));
  for (const chunk of needed) {
    for (const name of chunk.imports) needed.add(chunks.find(({ fileName }) => fileName === name)!);
  }
  return { chunks, needed: [...needed] };
}

const hasEntry = (specifier: string) => entries.includes(specifier);

test.each([...entries, "./node_modules/naysay/dist/tensor/device.js"])(
  "a browser bundle of %s holds no Dawn, no Node and, at its start, no reflection",
  async (source) => {
    const { chunks, needed } = await bundle(source);
    const text = chunks.map((chunk) => chunk.code).join("\n");
    expect(text).toContain("export");
    expect(text).not.toMatch(/dawn\.node|enable-dawn-features|["'`]node:|\.(node|deno)\.js["'`]/);
    const modules = needed.flatMap((chunk) => Object.keys(chunk.modules));
    expect(modules.filter((id) => /wgsl_reflect|\.(node|deno)\.js$/.test(id))).toEqual([]);
  },
);

test.skipIf(!hasEntry("naysay/tensor"))("the browser entry of the engine fits its budget", async () => {
  const { needed } = await bundle("naysay/tensor");
  const size = gzipSync(needed.map((chunk) => chunk.code).join("\n")).length;
  console.log(`browser entry: ${size} bytes gzip of ${BROWSER_BUDGET}`);
  expect(size).toBeLessThanOrEqual(BROWSER_BUDGET);
});

/** The part of a bundler's chunk that is read here. */
interface Chunk {
  type: "chunk" | "asset";
  code: string;
  fileName: string;
  isEntry: boolean;
  imports: string[];
  modules: Record<string, unknown>;
}
