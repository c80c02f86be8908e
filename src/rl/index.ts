/** Tasks, rollouts, algorithms, trainer, experiments: `naysay/rl`. */

export {
  advantages,
  groupAdvantages,
  keptRows,
  type MiniBatches,
  normaliser,
  type PlanOptions,
  planUpdates,
  type RowFacts,
  splitRows,
  type TokenReturns,
  tokenAdvantages,
  type UpdatePlan,
  unlikelyRewards,
} from "./advantages.ts";
export type {
  AdvantageRule,
  Aggregation,
  Algorithm,
  EntropyTerm,
  Keep,
  KlEstimator,
  KlTerm,
  LossForm,
  Scheduled,
} from "./algorithm.ts";
export {
  ALGORITHMS,
  type AlgorithmChanges,
  algorithmByName,
  asymRe,
  cispo,
  dapo,
  drGrpo,
  flipped,
  grpo,
  grpoKl,
  gspo,
  maxRl,
  ngrpo,
  nsr,
  passKTraining,
  pkpo,
  ppo,
  psr,
  reinforce,
  rloo,
  topr,
  unlikeliness,
  warmReinforce,
  wReinforce,
} from "./algorithms.ts";
export {
  type DefinedTask,
  defineTask,
  type TaskDefinition,
  type TaskJudgement,
  type WrittenTrace,
} from "./defineTask.ts";
export type { EvaluationConfig } from "./evaluationConfig.ts";
export { type ExperimentObserver, type ExperimentOptions, runExperiment } from "./experiment.ts";
export type { ProgressEvent } from "./experimentProgress.ts";
export { Learner, type LearnerOptions, type LearnRows, type UpdateResult } from "./learner.ts";
export { klOf, type LossInputs, type LossResult, maskedAdvantageLoss, pushOf, tokenKl } from "./loss.ts";
export { type BaseOptions, makeBase, taskModel } from "./makeBase.ts";
export { type MeasureOptions, measurePolicy } from "./measure.ts";
export {
  armAlgorithm,
  armName,
  type ExperimentChanges,
  type ExperimentConfig,
  experimentConfig,
  PRESETS,
} from "./presets.ts";
export { type PretrainConfig, type PretrainStep, pretrain, pretrainConfig } from "./pretrain.ts";
export { completionOf, type Rollout, type RolloutOptions, rollOut } from "./rollout.ts";
export type { StepMetrics } from "./stepMetrics.ts";
export { runStudy, type StudyOptions, type StudyProgress } from "./study.ts";
export {
  type Control,
  isStudy,
  STUDIES,
  type StudyChanges,
  type StudyConfig,
  studyConfig,
} from "./studyConfig.ts";
export type { AnyTask, Problem, Split, Task, Trace, Verdict } from "./task.ts";
export { Addition, type AdditionConfig, additionModes } from "./tasks/addition.ts";
export { Countdown, type CountdownConfig, type CountdownProblem } from "./tasks/countdown.ts";
export { type CountdownMode, countdownModes } from "./tasks/countdownForms.ts";
export { GraphPath, type GraphPathConfig, type GraphPathMode, graphPathModes } from "./tasks/graphPath.ts";
export { Maze, type MazeConfig, type MazeMode, mazeModes } from "./tasks/maze.ts";
export { ModularSum, type ModularSumConfig } from "./tasks/modularSum.ts";
export { Sudoku4, type Sudoku4Config, type SudokuMode, sudokuModes } from "./tasks/sudoku4.ts";
export { makeTask, taskNames } from "./taskTable.ts";
export { type MiniBatchChoice, type TrainConfig, trainConfig } from "./trainConfig.ts";
export {
  type SharedPrograms,
  type StepDetails,
  type StepObserver,
  sharedPrograms,
  Trainer,
  type TrainerOptions,
  trainerFrom,
} from "./trainer.ts";
export type { TrainerState } from "./trainerState.ts";
export { ValueHead } from "./valueHead.ts";
