/** The workloads by the word that chooses them: each yields rows without rates. */

import { matmulRows } from "./matmuls.mjs";
import { nsrRows } from "./nsrStep.mjs";
import { samplingRows } from "./sampling.mjs";
import { trainingRows } from "./trainingStep.mjs";

export const WORKLOADS = { w1: matmulRows, w2: trainingRows, w3: samplingRows, w4: nsrRows };
