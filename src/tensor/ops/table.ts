/** The op table: every primitive that the op files export, by name. Nothing is registered anywhere else. */
import { NaysayError } from "../errors.ts";
import type { OpDef, OpFunction } from "../opdef.ts";
import * as attention from "./attention.ts";
import * as attentionBackward from "./attentionBackward.ts";
import * as cachedAttention from "./cachedAttention.ts";
import * as control from "./control.ts";
import * as define from "./define.ts";
import * as elementwise from "./elementwise.ts";
import * as half from "./half.ts";
import * as indexing from "./indexing.ts";
import * as matmul from "./matmul.ts";
import * as movement from "./movement.ts";
import * as random from "./random.ts";
import * as reduce from "./reduce.ts";
import * as sample from "./sample.ts";
import * as updateRows from "./updateRows.ts";

const FILES: readonly object[] = [
  attention,
  attentionBackward,
  cachedAttention,
  control,
  define,
  elementwise,
  half,
  indexing,
  matmul,
  movement,
  random,
  reduce,
  sample,
  updateRows,
];

let byName: Map<string, OpDef> | null = null;

function table(): Map<string, OpDef> {
  if (!byName) {
    byName = new Map();
    for (const file of FILES) {
      for (const x of Object.values(file)) {
        const op = (x as Partial<OpFunction> | undefined)?.op;
        if (op) byName.set(op.name, op);
      }
    }
  }
  return byName;
}

export function opByName(name: string): OpDef {
  const op = table().get(name);
  if (!op)
    throw new NaysayError(
      `op: a name of the op table was expected, got ${name}. Export its object from an op file.`,
    );
  return op;
}

/** Every primitive, sorted by name. */
export function allOps(): OpDef[] {
  return [...table().values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}
