/** Pass@k, its intervals, and the report: `naysay/eval`. */

export type { BootstrapOptions, Interval } from "./bootstrap.ts";
export { bootstrapDifference, bootstrapMean, bootstrapMeans, bootstrapStatistic } from "./bootstrap.ts";
export type { SeedBootstrapOptions, SeedDraw, SeededValues } from "./bootstrapSeeds.ts";
export {
  bootstrapSeedStatistic,
  bootstrapSeeds,
  bootstrapSeedsDifference,
  pairedDifferences,
} from "./bootstrapSeeds.ts";
export type { CountDistribution, MeanEstimate, Tally } from "./estimators.ts";
export {
  EstimatorError,
  exactPassAtK,
  gPassAtK,
  hypergeometric,
  maxAtK,
  mean,
  meanAtK,
  mgPassAtK,
  passAtK,
  passCurve,
  passHatK,
  passOfProbability,
  passTable,
  powersOfTwo,
} from "./estimators.ts";
export type { AnsweredPrompt, CompletionScorer, RightMass, RightMassOptions } from "./exact.ts";
export { rightMass } from "./exact.ts";
export type { Finding } from "./findings.ts";
export { findings } from "./findings.ts";
export type {
  EvaluateOptions,
  Evaluation,
  JudgedEvaluation,
  JudgedSample,
  JudgedSamples,
  JudgeOptions,
} from "./harness.ts";
export { evaluate } from "./harness.ts";
export type { AnswerVotes, MajorityEstimate, MajorityOptions } from "./majority.ts";
export { countVotes, majAtK } from "./majority.ts";
export type {
  ArmCurves,
  CurvePoint,
  HighestMatched,
  Matched,
  MatchedIntervals,
  MeanPoint,
} from "./matched.ts";
export {
  atPass1,
  commonPass1,
  matchedDifference,
  matchedHighest,
  matchedPass,
  meanCurve,
} from "./matched.ts";
export type { Measurement } from "./measurement.ts";
export { modeCoverageAtK, modeCoverageRows, passRows } from "./measurement.ts";
export type { ModeCoverage, ModeEntropy, ModeTally } from "./modes.ts";
export {
  countModes,
  distinctModesAtK,
  modeCoverage,
  modeDiversity,
  modeEntropy,
  modesSeen,
} from "./modes.ts";
export { COLOURS as SERIES_COLOURS, DASHES as SERIES_DASHES } from "./palette.ts";
export type { PolicyReport } from "./policyReport.ts";
export { policyReport } from "./policyReport.ts";
export type { Plan, PromptDesign, SeedInterval, VarianceComponents } from "./power.ts";
export { detectionPower, minimalDetectable, seedInterval, varianceComponents } from "./power.ts";
export { renderReport } from "./report.ts";
export { studyMarkdown } from "./studyMarkdown.ts";
export { renderStudyReport } from "./studyReport.ts";
export type {
  Comparison,
  MatchedComparison,
  PilotOutcome,
  StudyArm,
  StudyCell,
  StudyControl,
  StudySummary,
} from "./studySummary.ts";
export { summarizeStudy } from "./studySummary.ts";
export type { AdapterSummary, ArmSummary, EvaluationRow, MetricsRow, PassAtK, Summary } from "./summary.ts";
export type { ChartOptions, Series } from "./svg.ts";
export { formatNumber, lineChart, spread as spreadLabels } from "./svg.ts";
export { renderTable } from "./table.ts";
