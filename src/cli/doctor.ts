/** `naysay doctor`: who computes here, at which tier, why not higher; or what to do where nobody does. */

import { adapterFacts } from "../check/adapterFacts.ts";
import { type Device, requestAdapter, requestDevice } from "../tensor/device.ts";
import { NaysayError } from "../tensor/errors.ts";
import { flags } from "../tensor/flags.ts";
import { matrixConfig } from "../tensor/tiers.ts";
import { loadTuning } from "../tensor/tuning.ts";
import { argHelp, readArgs } from "./args.ts";
import { HELP } from "./commonFlags.ts";
import { packageVersion } from "./packageVersion.ts";

const FLAGS = {
  json: { kind: "flag", help: "print one JSON object" },
  help: HELP,
} as const;

const PACKAGES = ["webgpu", "@sparticuz/chromium"];

/** Runs the command: exit code 0 where a device could be made, 1 where not. */
export async function run(argv: readonly string[]): Promise<number> {
  const args = readArgs(argv, FLAGS);
  if (args.help) {
    console.log(`naysay doctor\n${argHelp(FLAGS)}`);
    return 0;
  }
  const deno = (process.versions as { deno?: string }).deno;
  const host = {
    ...(deno === undefined ? {} : { deno }),
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
    packages: Object.fromEntries(PACKAGES.map((name) => [name, packageVersion(name)])),
  };
  try {
    const report = await requestAdapter();
    const device = await requestDevice();
    const found = { ...adapterFacts(report), named: await namedFacts(), tuning: await tuningFacts(device) };
    device.destroy();
    console.log(
      args.json ? JSON.stringify({ ok: true, ...host, ...found }, null, 2) : asText({ ...host, ...found }),
    );
    return 0;
  } catch (error) {
    if (!(error instanceof NaysayError)) throw error;
    const failure = { ok: false, error: error.name, message: error.message };
    console.log(args.json ? JSON.stringify({ ...failure, ...host }, null, 2) : asText(host));
    if (!args.json) console.error(`\n${error.name}: ${error.message}`);
    return 1;
  }
}

/** What is taken only where it is named: whether this adapter has it, and what of it, or why not. */
async function namedFacts(): Promise<{ T4: { reached: boolean; what: string } }> {
  const { facts, gaps } = await requestAdapter({ tier: "T4" });
  const config = matrixConfig(facts);
  if (gaps.T4 !== null || typeof config === "string")
    return { T4: { reached: false, what: gaps.T4 ?? `${config}` } };
  const { m, n, k, lanes } = config;
  return {
    T4: { reached: true, what: `matrices of ${m}x${n}x${k} by ${lanes} lanes; NAYSAY_TIER=T4 takes them` },
  };
}

/** The table that a run on this device uses, with how many shape classes; why none. */
async function tuningFacts(device: Device): Promise<{ table: string; classes: number; why?: string }> {
  const option = flags().tuning;
  const { source, size } = await loadTuning(device, option);
  if (source !== null) return { table: source, classes: size };
  const why =
    option === "off"
      ? "NAYSAY_TUNING=off"
      : "nothing usable is stored for this adapter, driver, tier and version; naysay tune measures it";
  return { table: "none", classes: 0, why };
}

/** Nested plain data as indented lines; lists on one line. */
function asText(data: object, indent = ""): string {
  return Object.entries(data)
    .map(([key, value]) => {
      if (Array.isArray(value)) return `${indent}${key}: ${value.join(" ")}`;
      if (value !== null && typeof value === "object")
        return `${indent}${key}:\n${asText(value, `${indent}  `)}`;
      return `${indent}${key}: ${value ?? "none"}`;
    })
    .join("\n");
}
