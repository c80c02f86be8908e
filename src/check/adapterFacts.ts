/** What `naysay doctor` and `naysay check` tell of an adapter, as plain data. */

import type { AdapterInfo, AdapterReport } from "../tensor/device.ts";
import { CORE_LIMITS, NAMED_ONLY, TIERS } from "../tensor/tiers.ts";

export interface AdapterFacts {
  adapter: AdapterInfo;
  /** The tier that is not reached, and why; null where all are that need not be named. */
  notHigher: string | null;
  /** Lanes in a subgroup; null where the adapter does not tell. */
  subgroups: { smallest: number | null; largest: number | null };
  /** Limits that the tiers are about; sizes in bytes. */
  limits: Record<string, number>;
  features: string[];
  /** WGSL language features. */
  language: string[];
}

export function adapterFacts({ adapter, info, facts, gaps }: AdapterReport): AdapterFacts {
  const blocked = TIERS.find((tier) => gaps[tier] !== null && !NAMED_ONLY.includes(tier));
  return {
    adapter: info,
    notHigher: blocked ? `${blocked}: ${gaps[blocked]}` : null,
    subgroups: {
      smallest: adapter.info.subgroupMinSize ?? null,
      largest: adapter.info.subgroupMaxSize ?? null,
    },
    limits: Object.fromEntries(Object.keys(CORE_LIMITS).map((name) => [name, facts.limits[name]])),
    features: [...facts.features].sort(),
    language: [...facts.language].sort(),
  };
}
