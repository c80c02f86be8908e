/** What the op table says of itself: for the tests, `naysay ops` and the op page. A gap is an omission by name. */
import type { DType } from "../dtype.ts";
import type { CaseKind, OpDef } from "../opdef.ts";
import { numel } from "../shape.ts";

/** Lowerings without arithmetic of their own; ops that expand cost what they expand to. */
const FREE: ReadonlySet<string> = new Set(["view", "source", "none", "indexed", "expand"]);

/** Sizes of a case's inputs (of its result where there are none), in elements. */
function sizeOf(op: OpDef, i: number): number[] {
  const c = op.cases[i];
  if (c.inputs.length > 0) return c.inputs.map((x) => numel(x.shape));
  return op.infer([], c.attrs ?? {}).map((t) => numel(t.shape));
}

/** dtypes, among the cases, of the operand that may have most, the first of such (of the result where there is none). */
export function dtypesOf(op: OpDef): DType[] {
  const operands = (op.cases[0]?.inputs ?? []).map((_, i) => op.cases.map((c) => c.inputs[i].dtype ?? "f32"));
  if (operands.length === 0) operands.push(op.cases.map((c) => op.infer([], c.attrs ?? {})[0].dtype));
  const sets = operands.map((list) => [...new Set<DType>(list)].sort());
  return sets.reduce((most, set) => (set.length > most.length ? set : most));
}

/** Omissions of an op, each with its name in front; none is the rule. */
export function opGaps(op: OpDef): string[] {
  const gaps: string[] = [];
  const need = (ok: boolean, what: string): void => {
    if (!ok) gaps.push(`${op.name}: ${what}`);
  };
  need(op.doc.length > 0, "no doc");
  need(op.signature.length > 0, "no signature");
  need(Boolean(op.vjp) !== Boolean(op.noGradient), "either a vjp or the reason for none");
  if (op.internal) return gaps;
  const sizes = op.cases.map((_, i) => sizeOf(op, i));
  need(op.cases.length > 0, "no case");
  const kinds: [CaseKind, boolean][] = [
    ["odd", sizes.some((s) => s.some((n) => n > 1 && n % 2 === 1))],
    ["empty", sizes.some((s) => s.includes(0))],
    ["one", sizes.some((s) => Math.max(...s) === 1)],
    ["bad", (op.bad?.length ?? 0) > 0],
  ];
  for (const [kind, there] of kinds) {
    need(there || Boolean(op.noCase?.[kind]), `no case of kind "${kind}", nor the reason in noCase`);
    need(!there || !op.noCase?.[kind], `a reason for no case of kind "${kind}" although there is one`);
  }
  need(Boolean(op.cost) || FREE.has(op.lowering.kind), "no cost");
  const loose =
    op.tolerance && ((op.tolerance.forward ?? 0) > 2e-6 || op.tolerance.absolute || op.tolerance.gradient);
  need(!loose || Boolean(op.tolerance?.reason), "a looser tolerance without its reason");
  return gaps;
}
