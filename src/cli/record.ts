/** What results record about the machine and the program. */
import { readFileSync } from "node:fs";
import type { AdapterSummary } from "../eval/summary.ts";
import type { Device } from "../tensor/device.ts";
import { packageVersion } from "./packageVersion.ts";

export function adapterSummary({ info }: Device): AdapterSummary {
  const { vendor, description, backend, tier, software } = info;
  return { vendor, description, backend, tier, software };
}

/** Versions of the program, of Node and of Dawn. */
export function versions(): Record<string, string> {
  const own = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
  return {
    naysay: (own as { version: string }).version,
    node: process.versions.node,
    webgpu: packageVersion("webgpu") ?? "none",
  };
}
