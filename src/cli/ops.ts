/** `naysay ops`: the op table with what its tests cover; as a list, as JSON, or as the page docs/ops.md. */

import type { OpDef } from "../tensor/opdef.ts";
import { dtypesOf, opGaps } from "../tensor/ops/coverage.ts";
import { allOps } from "../tensor/ops/table.ts";
import { argHelp, readArgs } from "./args.ts";

const FLAGS = {
  json: { kind: "flag", help: "print one JSON object" },
  markdown: { kind: "flag", help: "print the page docs/ops.md" },
  help: { kind: "flag", help: "print this help" },
} as const;

interface OpRow {
  name: string;
  signature: string;
  doc: string;
  source: string | null;
  dtypes: readonly string[];
  /** Calls that tests compare with the float64 reference, and calls that must be refused. */
  cases: number;
  bad: number;
  /** "yes", or why there is no derivative. */
  vjp: string;
  lowering: string;
  /** Tiers with a kernel of their own; the others run that of the tier below. */
  tiers: readonly string[];
  /** How the op is reached, where users do not call it. */
  internal: string | null;
}

function rowOf(op: OpDef): OpRow {
  return {
    name: op.name,
    signature: op.signature,
    doc: op.doc,
    source: op.source ?? null,
    dtypes: dtypesOf(op),
    cases: op.cases.length,
    bad: op.bad?.length ?? 0,
    vjp: op.vjp ? "yes" : (op.noGradient ?? ""),
    lowering: op.lowering.kind === "template" ? `template ${op.lowering.template}` : op.lowering.kind,
    tiers: op.lowering.kind === "reduce" ? ["T0", "T2"] : ["T0"],
    internal: op.internal ?? null,
  };
}

/** The op page of the documentation, written by `npm run docs:ops`. */
export function opsMarkdown(): string {
  const rows = allOps().map(rowOf);
  const cell = (text: string): string => text.replaceAll("|", "\\|");
  const line = (r: OpRow): string => {
    const doc = `${r.doc}${r.source ? ` Source: ${r.source}.` : ""}${r.internal ? ` Internal: ${r.internal}.` : ""}`;
    return `| \`${r.name}\` | \`${cell(r.signature)}\` | ${cell(doc)} | ${r.dtypes.join(", ")} | ${cell(r.vjp)} | ${r.lowering} | ${r.cases} |`;
  };
  return [
    "# Ops",
    "",
    "Written by `npm run docs:ops` from the op table; do not edit. Every op is one object in `src/tensor/ops/`: its",
    "shape and dtype rules, derivative, float64 reference, lowering and test cases.",
    "",
    `${rows.length} primitives; compositions of them (\`softmax\`, \`rmsNorm\`, ...) stand beside them in \`ops\`.`,
    "",
    "| Op | Signature | What it does | dtypes | Derivative | Lowering | Cases |",
    "| --- | --- | --- | --- | --- | --- | --- |",
    ...rows.map(line),
    "",
  ].join("\n");
}

function asText(rows: readonly OpRow[]): string {
  const width = (of: (r: OpRow) => string): number => Math.max(...rows.map((r) => of(r).length));
  const [names, kinds] = [width((r) => r.name), width((r) => r.lowering)];
  return rows
    .map((r) => {
      const tests = `${String(r.cases).padStart(3)} cases, ${r.bad} refused`;
      const vjp = r.vjp === "yes" ? "vjp" : `no vjp: ${r.vjp}`;
      return `${r.name.padEnd(names)}  ${r.lowering.padEnd(kinds)}  ${tests}  ${r.dtypes.join(",")}  ${vjp}\n    ${r.signature}\n    ${r.doc}`;
    })
    .join("\n");
}

/** Runs the command: exit code 1 where an op leaves something out. */
export async function run(argv: readonly string[]): Promise<number> {
  const args = readArgs(argv, FLAGS);
  if (args.help) {
    console.log(`naysay ops\n${argHelp(FLAGS)}`);
    return 0;
  }
  const rows = allOps().map(rowOf);
  const gaps = allOps().flatMap((op) => opGaps(op));
  if (args.markdown) process.stdout.write(opsMarkdown());
  else if (args.json) console.log(JSON.stringify({ ops: rows, gaps }, null, 2));
  else console.log(`${asText(rows)}\n${rows.length} ops, ${gaps.length} gaps`);
  for (const gap of gaps) console.error(gap);
  return gaps.length > 0 ? 1 : 0;
}
