/** `naysay/bench`: what this adapter can do and what naysay makes of it, in a page, a worker or Node. */
export { type Ceiling, type Ceilings, measureCeilings } from "./ceilings.ts";
export {
  type Comparable,
  type ComparedRow,
  type Comparison,
  compareResults,
  comparisonLines,
} from "./compare.ts";
export { type Curve, type CurveOptions, type CurvePoint, measureCurves, worstPoint } from "./curves.ts";
export { fitLine, type Line, type Point, residual } from "./fit.ts";
export { bytes, ceilingLines, detailLines, HEADING, line, number, percent, wobble } from "./format.ts";
export { type PlanOptions, type ProgramPlan, planTraining, type TrainingPlan } from "./plan.ts";
export { type CeilingRates, timeOf, withRates } from "./rates.ts";
export type {
  BenchFailure,
  BenchResult,
  BenchRow,
  Detail,
  MeasuredRow,
  MeasureOptions,
} from "./result.ts";
export { type BenchOptions, benchNames, runBench } from "./run.ts";
export type { Chosen } from "./selection.ts";
export { summarize, type Timing } from "./stats.ts";
