/** Every op users call, in one object: `ops.add(a, b)`. An op exported from its file appears here by itself. */
import * as attention from "./attention.ts";
import * as cached from "./cachedAttention.ts";
import * as control from "./control.ts";
import * as define from "./define.ts";
import * as elementwise from "./elementwise.ts";
import * as half from "./half.ts";
import * as indexing from "./indexing.ts";
import * as linear from "./linearLogProbs.ts";
import * as matmul from "./matmul.ts";
import * as movement from "./movement.ts";
import * as random from "./random.ts";
import * as reduce from "./reduce.ts";
import * as rowBlocks from "./rowBlocks.ts";
import * as sample from "./sample.ts";
import * as softmax from "./softmax.ts";
import * as update from "./updateRows.ts";

const { stopGradient } = control;
const { full } = define;
const { linearLogProbs } = linear;
const { takeRows } = rowBlocks;

export const ops = {
  stopGradient,
  full,
  ...attention,
  ...cached,
  ...elementwise,
  ...half,
  ...indexing,
  linearLogProbs,
  ...matmul,
  ...movement,
  ...random,
  ...reduce,
  ...sample,
  ...softmax,
  takeRows,
  ...update,
};
