/** The benchmark's views: adapter with its limits and ceilings, rows as they come, what failed. */
// Not from the barrel: the page shall load nothing of the engine.
import { bytes, number, percent, wobble } from "../../src/bench/format.ts";
import type { BenchFailure, BenchRow, Ceilings, Detail, Timing } from "../../src/bench/index.ts";
import type { AdapterFacts } from "../../src/check/index.ts";
import { byId, element, scrollRegion } from "./dom.ts";

const COLUMNS = ["Row", "wall ms", "±", "GPU ms", "±", "GFLOP/s", "GB/s", "of limit"];

/** Limits in bytes; the others are counts. */
const IN_BYTES = ["maxComputeWorkgroupStorageSize", "maxStorageBufferBindingSize", "maxBufferSize"];

function limitText(name: string, value: number): string {
  return IN_BYTES.includes(name) ? bytes(value) : String(value);
}

/** Who computes, with what limits; whether the GPU's own times are known. */
export function showBenchAdapter(facts: AdapterFacts, timestamps: boolean): void {
  const { adapter, subgroups, limits } = facts;
  const name = [adapter.description || adapter.vendor || "unnamed", adapter.architecture].filter(Boolean);
  const entries: [string, string][] = [
    ["adapter", name.join(", ")],
    ["tier", adapter.tier],
    ["GPU times", timestamps ? "by timestamps" : "none: this adapter gives no timestamps"],
    ["subgroups", `${subgroups.smallest ?? "?"} to ${subgroups.largest ?? "?"} lanes`],
    ...Object.entries(limits).map(([key, value]): [string, string] => [key, limitText(key, value)]),
  ];
  byId("bench-adapter", HTMLElement).replaceChildren(
    element(
      "dl",
      { class: "facts" },
      ...entries.map(([key, value]) => element("div", {}, element("dt", {}, key), element("dd", {}, value))),
    ),
    element("p", { id: "bench-ceilings", class: "hint" }, "Measuring the ceilings…"),
  );
}

export function showCeilings({ copy, fma, matrix }: Ceilings): void {
  const matrices = matrix ? `; matrices ${number(matrix.gflops).trim()} GFLOP/s (${matrix.how})` : "";
  const text = `Ceilings: copy ${number(copy.gbs).trim()} GB/s (${copy.how}); multiply-add ${number(fma.gflops).trim()} GFLOP/s (${fma.how})${matrices}.`;
  byId("bench-ceilings", HTMLElement).textContent = text;
}

function detailText({ name, value, unit }: Detail): string {
  const plain = Number.isInteger(value) ? String(value) : number(value).trim();
  const text = unit === "bytes" ? bytes(value) : unit === "share" ? percent(value).trim() : plain;
  return `${name} ${text}${unit === "ms" ? " ms" : ""}`;
}

export class BenchTable {
  private readonly body = element("tbody");

  constructor() {
    const head = element("tr", {}, ...COLUMNS.map((name) => element("th", { scope: "col" }, name)));
    byId("bench-rows", HTMLTableElement).replaceChildren(element("thead", {}, head), this.body);
    scrollRegion(byId("bench-scroll", HTMLElement), "Rows of the benchmark");
    byId("bench-failures", HTMLElement).replaceChildren();
  }

  add(row: BenchRow): void {
    const times = (t: Timing | null): string[] => [number(t?.ms).trim(), percent(wobble(t)).trim()];
    const limit = row.ofLimit === null ? "-" : `${percent(row.ofLimit).trim()} ${row.limit}`;
    const rates = [number(row.gflops).trim(), number(row.gbs).trim(), limit];
    const cells = [...times(row.wall), ...times(row.gpu), ...rates];
    const details = (row.details ?? []).map(detailText).join(" · ");
    this.body.append(
      element(
        "tr",
        {},
        element("th", { scope: "row" }, row.name, details ? element("small", {}, details) : null),
        ...cells.map((text) => element("td", {}, text)),
      ),
    );
  }

  fail({ name, message }: BenchFailure): void {
    byId("bench-failures", HTMLElement).append(element("li", { class: "hint" }, `${name}: ${message}`));
  }
}
