/** The first step of W2 in a fresh process. */

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

/** Driver caches of compiled shaders, off: a first step that finds its shaders on disk is no first step. */
const NO_SHADER_CACHE = { MESA_SHADER_CACHE_DISABLE: "true", __GL_SHADER_DISK_CACHE: "0" };

/** Runs `cold.mjs` and gives what it measured. */
export function coldStart({ quick, ...engine }) {
  const script = fileURLToPath(new URL("./cold.mjs", import.meta.url));
  const args = [script, JSON.stringify({ quick, engine })];
  const child = spawn(process.execPath, args, {
    env: { ...process.env, ...NO_SHADER_CACHE },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  child.stdout.on("data", (chunk) => {
    text += chunk;
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => {
      if (code === 0) resolve(JSON.parse(text));
      else reject(new Error(`bench: a first step expected of cold.mjs, got exit code ${code}. See above.`));
    });
  });
}
