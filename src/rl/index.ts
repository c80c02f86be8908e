/** Tasks, rollouts, algorithms, trainer, experiments: `naysay/rl`. */
export {
  advantages,
  groupAdvantages,
  keptRows,
  type MiniBatches,
  normaliser,
  planUpdates,
  splitRows,
  tokenWeight,
  type UpdatePlan,
} from "./advantages.ts";
export {
  type AdvantageRule,
  type Aggregation,
  type Algorithm,
  type AlgorithmChanges,
  algorithmByName,
  flipped,
  grpo,
  type Keep,
  type LossForm,
  nsr,
  psr,
  wReinforce,
} from "./algorithms.ts";
export {
  type DefinedTask,
  defineTask,
  type Judgement,
  type TaskDefinition,
  type WrittenTrace,
} from "./defineTask.ts";
export { type ExperimentObserver, type ExperimentOptions, runExperiment } from "./experiment.ts";
export type { ProgressEvent } from "./experimentProgress.ts";
export { Learner, type LearnRows, type UpdateResult } from "./learner.ts";
export { type LossInputs, type LossResult, maskedAdvantageLoss, pushOf } from "./loss.ts";
export { type BaseOptions, makeBase, taskModel } from "./makeBase.ts";
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
export type { AnyTask, Problem, Split, Task, Trace, Verdict } from "./task.ts";
export { Addition, type AdditionConfig, additionModes } from "./tasks/addition.ts";
export { Countdown, type CountdownConfig, type CountdownProblem } from "./tasks/countdown.ts";
export { type CountdownMode, countdownModes } from "./tasks/countdownForms.ts";
export { GraphPath, type GraphPathConfig, type GraphPathMode, graphPathModes } from "./tasks/graphPath.ts";
export { Maze, type MazeConfig, type MazeMode, mazeModes } from "./tasks/maze.ts";
export { ModularSum, type ModularSumConfig } from "./tasks/modularSum.ts";
export { Sudoku4, type Sudoku4Config, type SudokuMode, sudokuModes } from "./tasks/sudoku4.ts";
export { makeTask, taskNames } from "./taskTable.ts";
export { type TrainConfig, trainConfig } from "./trainConfig.ts";
export {
  type SharedPrograms,
  type StepDetails,
  type StepMetrics,
  type StepObserver,
  sharedPrograms,
  Trainer,
  type TrainerOptions,
  type TrainerState,
  trainerFrom,
} from "./trainer.ts";
