/**
 * `npm run bundle:host`: one folder that shows what naysay does on a bare Linux x64 host, with
 * no network and nothing installed. It holds `run.sh`, `node.gz` (this Node), `app.tar.br` (everything else, which that Node
 * unpacks) and `bundle.json` (what was packed). A bare host has bash, gzip and tar, and often no xz.
 */

import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { brotliDecompressSync, constants, createBrotliCompress, createGzip } from "node:zlib";
import { unpackTar } from "../dist/cli/archive.js";
import { argHelp, readArgs } from "../dist/cli/args.js";
import { ConfigError, NaysayError } from "../dist/tensor/errors.js";

/** What may be carried, bytes. */
export const LIMIT = 60 * 2 ** 20;

const root = fileURLToPath(new URL("..", import.meta.url));
const inRoot = (path) => join(root, path);

/** Files and folders as they lie in the repository. */
const OWN = [
  "package.json",
  "LICENSE",
  "dist",
  "assets",
  "bench",
  "src",
  "test",
  "docs",
  "examples",
  "scripts/host",
];
/** What the tests, the engine and the benchmark load from node_modules, with all that these need. */
const PACKAGES = [
  ...Object.keys(JSON.parse(readFileSync(inRoot("package.json"), "utf8")).dependencies),
  "webgpu",
  "wgsl_reflect",
];
/** What the tests need besides: 8 MiB. */
const TEST_PACKAGES = ["vitest", "fast-check"];
/** Of these only some files: the rest is for other systems, or for a browser. */
const PARTS = {
  webgpu: /^(index\.js|package\.json|LICENSE\.md|dist\/linux-x64\/.*)$/,
  "@sparticuz/chromium": /^(package\.json|build\/.*|bin\/swiftshader\.tar\.br)$/,
};
/** Loaded by nothing that runs: types, maps, texts, and a style sheet's compiler that vite asks for only where there are sheets. */
const IDLE = /\.(d\.[cm]?ts|map|md|flow)$/;
/** Of the repository's own: a page's bundle, pictures, results. Tests read the texts of docs/. */
const IDLE_OWN = /\.(d\.ts|map)$|^dist\/browser\/|^docs\/.*\/|package-lock\.json$/;
const IDLE_PACKAGES = /^(@types\/|@webgpu\/types$|lightningcss)/;
/**
 * NVIDIA's Vulkan driver links X11's client libraries, on a host without a display too. Carried where this machine has them, used
 * where the driver does not load without.
 */
const X11 = [
  "libX11.so.6",
  "libXext.so.6",
  "libxcb.so.1",
  "libXau.so.6",
  "libXdmcp.so.6",
  "libbsd.so.0",
  "libmd.so.0",
];
const DISPATCH = ["libGLdispatch.so.0", "libEGL.so.1"];
const LIBRARY_FOLDERS = ["/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu", "/usr/lib64", "/lib64"];

/** Names of packages and of what they depend on, as far as they are installed here. */
function closure(names) {
  const { packages } = JSON.parse(readFileSync(inRoot("package-lock.json"), "utf8"));
  const found = new Set();
  const add = (name) => {
    const entry = packages[`node_modules/${name}`];
    if (found.has(name) || IDLE_PACKAGES.test(name) || !entry || !existsSync(inRoot(`node_modules/${name}`)))
      return;
    found.add(name);
    for (const next of Object.keys({ ...entry.dependencies, ...entry.optionalDependencies })) add(next);
  };
  names.forEach(add);
  return [...found].sort();
}

/** Copies a folder's files whose path in it `takes`. */
function copyFolder(from, to, takes) {
  for (const entry of readdirSync(from, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath ?? entry.path, entry.name);
    const name = path.slice(from.length + 1);
    if (!entry.isFile() || !takes(name)) continue;
    mkdirSync(dirname(join(to, name)), { recursive: true });
    cpSync(path, join(to, name));
  }
}

/** Lays out under `app` what is packed; gives the names of packages and of extra libraries. */
function gather(app, tests) {
  for (const path of OWN) {
    const from = inRoot(path);
    if (statSync(from).isFile()) cpSync(from, join(app, path));
    else
      copyFolder(
        from,
        join(app, path),
        (name) => !IDLE_OWN.test(`${path}/${name}`) && !name.includes("node_modules/"),
      );
  }
  const packages = closure([...PACKAGES, ...(tests ? TEST_PACKAGES : [])]);
  for (const name of [...packages, "@sparticuz/chromium"]) {
    const takes = PARTS[name] ?? ((path) => !IDLE.test(path));
    copyFolder(
      realpathSync(inRoot(`node_modules/${name}`)),
      join(app, "node_modules", name),
      (path) => takes.test?.(path) ?? takes(path),
    );
  }
  // Vulkan's loader, from the archive that also holds SwiftShader.
  const archive = readFileSync(inRoot("node_modules/@sparticuz/chromium/bin/swiftshader.tar.br"));
  const scratch = mkdtempSync(join(tmpdir(), "naysay-loader-"));
  unpackTar(brotliDecompressSync(archive), scratch);
  mkdirSync(join(app, "vulkan"), { recursive: true });
  cpSync(join(scratch, "libvulkan.so.1"), join(app, "vulkan", "libvulkan.so.1"));
  rmSync(scratch, { recursive: true });
  const libraries = [];
  for (const name of [...X11, ...DISPATCH]) {
    const from = LIBRARY_FOLDERS.map((folder) => join(folder, name)).find((path) => existsSync(path));
    if (from === undefined) continue;
    mkdirSync(join(app, "x11"), { recursive: true });
    cpSync(realpathSync(from), join(app, "x11", name));
    libraries.push(name);
  }
  return { packages, libraries };
}

/** The commit that is packed, and whether the files differ from it; null outside a repository. */
function commit() {
  const git = (...args) => spawnSync("git", args, { cwd: root, encoding: "utf8" });
  const head = git("rev-parse", "HEAD");
  if (head.status !== 0) return null;
  return { hash: head.stdout.trim(), changed: git("status", "--porcelain").stdout.trim() !== "" };
}

/** Packs into `out` and gives what was packed. `tests: false` leaves out what only the tests load. */
export async function bundleHost(out, { tests = true } = {}) {
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new NaysayError(
      `bundle:host: linux-x64 expected, got ${process.platform}-${process.arch}: it packs the Node that runs it. Run it there.`,
    );
  }
  const staging = mkdtempSync(join(tmpdir(), "naysay-host-"));
  try {
    const app = join(staging, "app");
    mkdirSync(app);
    const found = gather(app, tests);
    if (existsSync(out) && readdirSync(out).length > 0 && !existsSync(join(out, "bundle.json"))) {
      throw new ConfigError(
        `bundle:host: --out: an empty folder or an older bundle expected, got ${out}. Name another.`,
      );
    }
    rmSync(out, { recursive: true, force: true });
    mkdirSync(out, { recursive: true });
    const tar = join(staging, "app.tar");
    execFileSync("tar", [
      "--sort=name",
      "--owner=0",
      "--group=0",
      "--numeric-owner",
      "-cf",
      tar,
      "-C",
      app,
      ".",
    ]);
    const quality = { [constants.BROTLI_PARAM_QUALITY]: 6, [constants.BROTLI_PARAM_LGWIN]: 24 };
    const brotli = createBrotliCompress({
      params: { ...quality, [constants.BROTLI_PARAM_SIZE_HINT]: statSync(tar).size },
    });
    await Promise.all([
      pipeline(createReadStream(tar), brotli, createWriteStream(join(out, "app.tar.br"))),
      pipeline(
        createReadStream(realpathSync(process.execPath)),
        createGzip({ level: 6 }),
        createWriteStream(join(out, "node.gz")),
      ),
    ]);
    cpSync(inRoot("scripts/host/run.sh"), join(out, "run.sh"));
    chmodSync(join(out, "run.sh"), 0o755);
    const version = (name) =>
      JSON.parse(readFileSync(inRoot(`node_modules/${name}/package.json`), "utf8")).version;
    const facts = {
      format: "naysay-host-bundle-1",
      naysay: JSON.parse(readFileSync(inRoot("package.json"), "utf8")).version,
      commit: commit(),
      node: process.version,
      packages: Object.fromEntries(
        [...found.packages, "@sparticuz/chromium"].map((name) => [name, version(name)]),
      ),
      libraries: found.libraries,
      packed: new Date().toISOString(),
    };
    writeFileSync(join(out, "bundle.json"), `${JSON.stringify(facts, null, 2)}\n`);
    const files = readdirSync(out).map((name) => ({ name, bytes: statSync(join(out, name)).size }));
    const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
    if (bytes > LIMIT) {
      const list = files.map((file) => `${file.name} ${file.bytes}`).join(", ");
      throw new NaysayError(
        `bundle:host: at most ${LIMIT} bytes expected, got ${bytes} (${list}). Pack with --no-tests, or with an older Node, whose binary is smaller.`,
      );
    }
    return { ...facts, files, bytes };
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}

const FLAGS = {
  out: {
    kind: "text",
    takes: "folder",
    help: "an empty folder, a new one, or an older bundle",
    default: "host-bundle",
  },
  "no-tests": { kind: "flag", help: "leave out what only the tests load (8 MB)" },
  help: { kind: "flag", help: "print this help" },
};

const HELP = `npm run bundle:host -- [flags]    packs a folder that runs naysay on a bare Linux x64 host

${argHelp(FLAGS)}

Example:
  npm run bundle:host -- --out /tmp/naysay-host
  scp -r /tmp/naysay-host gpu-host: && ssh gpu-host naysay-host/run.sh report.json

Exit code: 0 done, 1 where it cannot be packed, 2 where the flags are not understood. bench/README.md says what run.sh does.`;

async function main() {
  const args = readArgs(process.argv.slice(2), FLAGS);
  if (args.help) {
    console.log(HELP);
    return;
  }
  const { files, bytes } = await bundleHost(join(process.cwd(), args.out), { tests: !args["no-tests"] });
  for (const file of files) console.log(`${String(file.bytes).padStart(10)}  ${file.name}`);
  console.log(`${(bytes / 2 ** 20).toFixed(1)} MiB of ${LIMIT / 2 ** 20}: ${args.out}/run.sh runs it`);
}

if (basename(process.argv[1] ?? "") === "bundleHost.mjs") {
  try {
    await main();
  } catch (error) {
    console.error(error instanceof NaysayError ? error.message : error);
    process.exitCode = error instanceof ConfigError ? 2 : 1;
  }
}
