/** What results record about the machine and the program. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Tuning } from "../tensor/tuning.ts";
import { packageVersion } from "./packageVersion.ts";

/** A table of choices by its size and the head of its hash. */
function tuningName(tuning: Tuning): string {
  const hash = createHash("sha256").update(JSON.stringify(tuning.table())).digest("hex");
  return `${tuning.size} choices, ${hash.slice(0, 8)}`;
}

/** Versions of the program, of Node and of Dawn; and which kernels were chosen by measurement, where any were. */
export function versions(tuning?: Tuning): Record<string, string> {
  const own = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
  return {
    naysay: (own as { version: string }).version,
    node: process.versions.node,
    webgpu: packageVersion("webgpu") ?? "none",
    ...(tuning && tuning.size > 0 ? { tuning: tuningName(tuning) } : {}),
  };
}
