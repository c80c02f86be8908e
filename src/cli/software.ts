/**
 * Software adapters: SwiftShader and a headless Chromium out of the development dependency `@sparticuz/chromium`
 * (Linux x64), so that a machine with no GPU and no Vulkan works after `npm ci` alone; and Mesa's lavapipe where the
 * system has it.
 */

import {
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { brotliDecompressSync, createBrotliDecompress } from "node:zlib";
import { vulkanManifests } from "../tensor/remedy.node.ts";
import { unpackTar } from "./archive.ts";
import { installedPackage } from "./packageVersion.ts";

/** The development dependency that holds SwiftShader. */
export const SOFTWARE_PACKAGE = "@sparticuz/chromium";

/** Environment variables that must stand before a process starts. */
export type ProcessEnv = Record<string, string>;

/** Folder and version of the package, or `null` where it is not installed or has no binaries for this machine. */
export function softwarePackage(): { folder: string; version: string } | null {
  if (process.platform !== "linux" || process.arch !== "x64") return null;
  const found = installedPackage(SOFTWARE_PACKAGE);
  return found && existsSync(join(found.folder, "bin", "swiftshader.tar.br")) ? found : null;
}

/** Variables that select SwiftShader, unpacked at the first call; `null` where the package is not installed. */
export async function swiftshaderEnv(): Promise<ProcessEnv | null> {
  const found = softwarePackage();
  if (!found) return null;
  const folder = await unpackOnce(found.folder, `swiftshader-${found.version}`, async (into) => {
    unpackTar(brotliDecompressSync(readFileSync(join(found.folder, "bin", "swiftshader.tar.br"))), into);
  });
  // No layers of the system's (Mesa's device_select, Optimus): this adapter is the same on every machine.
  return {
    ...driverEnv(join(folder, "vk_swiftshader_icd.json"), folder),
    VK_LOADER_LAYERS_DISABLE: "~implicit~",
  };
}

/** Variables that select lavapipe; `null` where the system does not have it. */
export function lavapipeEnv(): ProcessEnv | null {
  const manifest = vulkanManifests().find((path) => /\/lvp_icd[^/]*\.json$/.test(path));
  return manifest === undefined ? null : driverEnv(manifest);
}

/** The package's headless Chromium: its executable and the variables it needs; `null` without the package. */
export async function softwareChromium(): Promise<{ executable: string; env: ProcessEnv } | null> {
  const found = softwarePackage();
  if (!found) return null;
  const bin = join(found.folder, "bin");
  const folder = await unpackOnce(found.folder, `chromium-${found.version}`, async (into) => {
    // SwiftShader's libraries belong beside the executable; nss, nspr and expat come in al2023's lib/.
    unpackTar(brotliDecompressSync(readFileSync(join(bin, "swiftshader.tar.br"))), into);
    unpackTar(brotliDecompressSync(readFileSync(join(bin, "al2023.tar.br"))), into);
    const out = createWriteStream(join(into, "chromium"), { mode: 0o755 });
    await pipeline(createReadStream(join(bin, "chromium.br")), createBrotliDecompress(), out);
  });
  return { executable: join(folder, "chromium"), env: libraryPath(folder, join(folder, "lib")) };
}

/** Both names of the loader's variable: the newer one wins where both are set, so a user's own must not stay. */
function driverEnv(manifest: string, ...libraries: string[]): ProcessEnv {
  return { VK_ICD_FILENAMES: manifest, VK_DRIVER_FILES: manifest, ...libraryPath(...libraries) };
}

function libraryPath(...folders: string[]): ProcessEnv {
  if (folders.length === 0) return {};
  return { LD_LIBRARY_PATH: [...folders, process.env.LD_LIBRARY_PATH].filter(Boolean).join(":") };
}

/**
 * The cache folder `name`, filled by `fill` where it is not there yet. It is filled under a temporary name and renamed,
 * so that two starts at once are safe and one that was killed leaves nothing half done.
 */
async function unpackOnce(
  packageFolder: string,
  name: string,
  fill: (into: string) => Promise<void>,
): Promise<string> {
  const modules = dirname(dirname(packageFolder));
  const caches = [
    join(modules, ".cache", "naysay"),
    join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "naysay"),
  ];
  for (const cache of caches) if (existsSync(join(cache, name))) return join(cache, name);
  const cache = caches.find(canMake) ?? caches[1];
  const folder = join(cache, name);
  const temporary = `${folder}.${process.pid}.${Date.now()}`;
  try {
    mkdirSync(temporary, { recursive: true });
    await fill(temporary);
    renameSync(temporary, folder);
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true });
    // Somebody else was first: theirs is as good.
    if (!existsSync(folder)) throw error;
  }
  return folder;
}

function canMake(folder: string): boolean {
  try {
    mkdirSync(folder, { recursive: true });
    return true;
  } catch {
    return false;
  }
}
