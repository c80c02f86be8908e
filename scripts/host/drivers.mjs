/**
 * Which variables give this host's GPU. An NVIDIA driver in a container often comes without the manifest that Vulkan's loader
 * looks for, or without X11's libraries, which its GLX half links and its EGL half does not. So each way is tried in a
 * process of its own, and the first that gives a GPU is taken; without one, what naysay finds by itself, last SwiftShader.
 */

import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runLimited } from "./processes.mjs";

const MANIFEST_FOLDERS = [
  "/usr/share/vulkan/icd.d",
  "/etc/vulkan/icd.d",
  "/usr/local/share/vulkan/icd.d",
  "/run/opengl-driver/share/vulkan/icd.d",
  "/usr/lib/x86_64-linux-gnu/GL/vulkan/icd.d",
];
const LIBRARY_FOLDERS = [
  "/usr/lib/x86_64-linux-gnu",
  "/lib/x86_64-linux-gnu",
  "/usr/lib64",
  "/usr/lib",
  "/usr/local/nvidia/lib64",
  "/usr/local/nvidia/lib",
  "/usr/lib/x86_64-linux-gnu/nvidia/current",
  "/run/nvidia/driver/usr/lib/x86_64-linux-gnu",
  "/run/opengl-driver/lib",
];
/** The halves of NVIDIA's driver that have Vulkan's entry points. */
const DRIVERS = ["libGLX_nvidia.so.0", "libEGL_nvidia.so.0"];

/** f16 on NVIDIA's Vulkan driver hides behind this toggle of Dawn. */
export const NVIDIA_TOGGLES = "vulkan_enable_f16_on_nvidia";

function names(folder) {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** Ways to an NVIDIA driver on this host, the likeliest first. `made` is a folder for manifests that are written here. */
export function candidates(app, made, env = process.env) {
  const given = env.VK_DRIVER_FILES || env.VK_ICD_FILENAMES;
  const manifests = MANIFEST_FOLDERS.flatMap((folder) =>
    names(folder)
      .filter((name) => /nvidia.*\.json$/.test(name))
      .map((name) => join(folder, name)),
  );
  const folders = [...(env.LD_LIBRARY_PATH ?? "").split(":").filter(Boolean), ...LIBRARY_FOLDERS];
  for (const driver of DRIVERS) {
    const library = folders.map((folder) => join(folder, driver)).find((path) => existsSync(path));
    if (library === undefined) continue;
    mkdirSync(made, { recursive: true });
    const path = join(made, `${driver}.json`);
    const manifest = { file_format_version: "1.0.0", ICD: { library_path: library, api_version: "1.3.0" } };
    writeFileSync(path, JSON.stringify(manifest));
    manifests.push(path);
  }
  const ways = (paths, folders) =>
    paths.map((manifest) => {
      const libraries = [...folders, env.LD_LIBRARY_PATH].filter(Boolean).join(":");
      return {
        how: `${manifest}${folders.length > 1 ? ", with the libraries that are carried" : ""}`,
        env: {
          VK_DRIVER_FILES: manifest,
          VK_ICD_FILENAMES: manifest,
          VK_LOADER_LAYERS_DISABLE: "~implicit~",
          LD_LIBRARY_PATH: libraries,
          NAYSAY_TOGGLES: env.NAYSAY_TOGGLES ?? NVIDIA_TOGGLES,
        },
      };
    });
  const loader = join(app, "vulkan");
  if (given) return ways([given], [loader]).map((way) => ({ ...way, given: true }));
  // The carried libraries come last: they stand before the system's own.
  return [...ways(manifests, [loader]), ...ways(manifests, [loader, join(app, "x11")])];
}

/** What naysay finds by itself: another maker's GPU, else SwiftShader. */
export function ownWay(app, env = process.env) {
  const libraries = [join(app, "vulkan"), env.LD_LIBRARY_PATH].filter(Boolean).join(":");
  return { how: "what naysay finds", env: { LD_LIBRARY_PATH: libraries } };
}

/** Tries every way with the doctor. Gives the one to take, and what each said. */
export async function chooseDriver({ node, app, made, seconds }) {
  const tried = [];
  for (const way of candidates(app, made)) {
    const said = await runLimited([node, join(app, "dist/cli/main.js"), "doctor", "--json"], {
      seconds,
      whole: true,
      env: { ...way.env, VK_LOADER_DEBUG: "error,warn" },
    });
    let adapter = null;
    try {
      adapter = JSON.parse(said.stdout).adapter ?? null;
    } catch {
      // It died before it could say anything.
    }
    const { code, signal, timedOut } = said;
    tried.push({ how: way.how, code, signal, timedOut, adapter, said: said.stderr.slice(-2000) });
    // Whoever names a manifest has chosen, a software adapter too.
    if (code === 0 && adapter && (way.given || !adapter.software)) return { way, tried };
  }
  return { way: ownWay(app), tried };
}
