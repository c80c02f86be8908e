/** The request for a run: the settings as an experiment, its base, and the folder that belongs to exactly this run. */
import { DeviceError } from "../../src/tensor/errors.ts";
import type { ExperimentRequest, WorkerInfo } from "../../src/worker/index.ts";
import { nodeCommand } from "./nodeCommand.ts";
import { changesOf, type Settings } from "./settings.ts";
import { hasShippedBase } from "./taskChoices.ts";

/** A checkpoint that the visitor chose to start from. */
export interface UploadedBase {
  name: string;
  bytes: Uint8Array;
}

const SHIPPED = new URL("../../assets/quick-base.safetensors", import.meta.url);

/** Bytes of the base that ships with the package. */
export async function shippedBase(): Promise<Uint8Array> {
  const response = await fetch(SHIPPED);
  if (!response.ok) {
    throw new DeviceError(
      `page: the shipped base expected at ${SHIPPED}, got ${response.status}. Load the page anew.`,
    );
  }
  return new Uint8Array(await response.arrayBuffer());
}

async function sha256(content: string | Uint8Array): Promise<string> {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  const digest = await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * The request, in a folder named by what decides the numbers: the same settings on the same adapter find their unfinished
 * run again, others never meet it. Arms do not count: a run may be given more of them.
 */
export async function runRequest(
  settings: Settings,
  { adapter, version }: Pick<WorkerInfo, "adapter" | "version">,
  uploaded: UploadedBase | null,
): Promise<ExperimentRequest> {
  const changes = changesOf(settings);
  if (uploaded) changes.base = uploaded.name;
  const base = uploaded?.bytes ?? (hasShippedBase(settings) ? await shippedBase() : undefined);
  const { arms: _, ...deciding } = changes;
  const identity = [
    settings.preset,
    settings.seed,
    deciding,
    base ? await sha256(base) : null,
    adapter,
    version,
  ];
  const name = `${settings.preset}-${settings.seed}-${(await sha256(JSON.stringify(identity))).slice(0, 10)}`;
  return {
    preset: settings.preset,
    changes,
    seed: settings.seed,
    out: `runs/${name}`,
    base,
    showRows: settings.showRows,
    command: nodeCommand(settings, adapter.tier, uploaded?.name ?? null).line,
  };
}
