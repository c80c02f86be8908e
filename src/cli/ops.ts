/** `naysay ops`: the op table with what its tests cover; as a list, as JSON, or as the page docs/ops.md. */

import type { OpDef } from "../tensor/opdef.ts";
import { callOf, compositions } from "../tensor/ops/compositions.ts";
import { dtypesOf, opGaps } from "../tensor/ops/coverage.ts";
import { allOps } from "../tensor/ops/table.ts";
import { argHelp, readArgs } from "./args.ts";
import { HELP } from "./commonFlags.ts";

const FLAGS = {
  json: { kind: "flag", help: "print one JSON object" },
  markdown: { kind: "flag", help: "print the page docs/ops.md" },
  help: HELP,
} as const;

interface OpRow {
  name: string;
  /** Name of its function among `ops`, null where users do not call it. */
  call: string | null;
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

/** Signature and meaning of what `ops` has beside functions that have the name and the operands of their primitive. */
const FUNCTIONS: Record<string, readonly [string, string]> = {
  entropy: ["x[..., V] -> [...]", "Entropy of softmax(x) along the last axis, nats."],
  full: [
    "shape, value, dtype = f32 -> [...shape]",
    "A tensor filled with one number, which the kernel reads as data.",
  ],
  gelu: [
    "x[...] -> [...]",
    "GELU, tanh form: 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))). Source: arXiv 1606.08415.",
  ],
  layerNorm: [
    "x[..., V], weight[V], bias[V], eps -> [..., V]",
    "(x - mean) / sqrt(var + eps) * weight + bias along the last axis. Source: arXiv 1607.06450.",
  ],
  linearLogProbs: [
    "hidden[..., C], weight[V, C] or blocks of its rows, tokens[...] u32, temperature? -> { logProbs[...], entropy[...] }",
    "Log-probability of each token under softmax(hidden weight^T / temperature), and entropy of that, nats; beyond 2048 rows of the weight by chunks of them, without [..., V].",
  ],
  logSoftmax: ["x[..., V], axis = -1 -> [..., V]", "x - max - log(sum(exp(x - max))) along the axis, nats."],
  mean: ["x[...], axes?, keepDims = false -> reduced", "Mean over axes (default all)."],
  randomBits: [
    "[c0, c1, c2, c3] of [...] u32, [k0, k1] of [...] u32 -> [...] u32",
    "Random words, one for each counter, under a key: philox, with its operands broadcast together.",
  ],
  rmsNorm: [
    "x[..., V], weight[V], eps -> [..., V]",
    "x / sqrt(mean(x^2) + eps) * weight along the last axis. Source: arXiv 1910.07467, eq. 4.",
  ],
  silu: ["x[...] -> [...]", "x * sigmoid(x). Source: arXiv 1702.03118."],
  softmax: ["x[..., V], axis = -1 -> [..., V]", "exp(x - max) / sum along the axis."],
  square: ["x[...] -> [...]", "x * x."],
  takeRows: [
    "blocks[R, C] of a table[V, C], indices[...] u32 -> [..., C]",
    "Rows by index of a table that is cut by rows; bits are those of take on the whole.",
  ],
  transpose: ["x[..., M, N] -> [..., N, M]", "Swaps the last two axes."],
  uniformFromBits: ["bits[...] u32 -> [...] f32", "Uniform numbers in [0, 1) from the top 24 bits."],
};

/** Functions of `ops` that have no row of their name in the table: compositions, and primitives called otherwise. */
function functionNames(): string[] {
  const renamed = allOps().flatMap((op) => {
    const call = callOf(op);
    return call === null || call === op.name ? [] : [call];
  });
  return [...compositions(), ...renamed].sort();
}

function functionLine(name: string): string {
  const [signature, doc] = FUNCTIONS[name] ?? ["", ""];
  return `| \`${name}\` | \`${signature}\` | ${doc} |`;
}

/** What the table says of operands that are NaN, and of numbers for which there is no finite result. */
function caveat({ hidesNan, lowering }: OpDef): string {
  if (!hidesNan) return "";
  const watched = lowering.kind === "map" && lowering.watched;
  return ` Of NaN${watched ? ", and of what has no finite result," : ""} it may be a number.`;
}

function rowOf(op: OpDef): OpRow {
  return {
    name: op.name,
    call: callOf(op),
    signature: op.signature,
    doc: `${op.doc}${caveat(op)}`,
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
    const call = r.call === null ? "no" : r.call === r.name ? "yes" : `as \`${r.call}\``;
    return `| \`${r.name}\` | ${call} | \`${cell(r.signature)}\` | ${cell(doc)} | ${r.dtypes.join(", ")} | ${cell(r.vjp)} | ${r.lowering} | ${r.cases} |`;
  };
  return [
    "# Ops",
    "",
    "Written by `npm run docs:ops` from the op table; do not edit. Every op is one object in `src/tensor/ops/`: its",
    "shape and dtype rules, derivative, float64 reference, lowering and test cases.",
    "",
    `${rows.length} primitives. Those that users call stand in \`ops\`, as do the functions at the end of the page; the others serve`,
    "differentiation and other ops.",
    "",
    "| Op | In `ops` | Signature | What it does | dtypes | Derivative | Lowering | Cases |",
    "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ...rows.map(line),
    "",
    "## Functions of these",
    "",
    "Made of primitives, and differentiable through them; called alone, each is one program.",
    "",
    "| Function | Signature | What it does |",
    "| --- | --- | --- |",
    ...functionNames().map(functionLine),
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
