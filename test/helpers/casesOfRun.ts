/** The cases of the op table that this run of the tests takes: all, or those of the ops that `NAYSAY_OPS` names. */

import { allCases, type NamedCase } from "../../src/check/cases.ts";
import { variable } from "./seed.ts";

export function casesOfRun(): NamedCase[] {
  return allCases(variable("NAYSAY_OPS")?.split(","));
}
