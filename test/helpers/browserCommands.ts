/** What a test in a page may ask of the runner's process. */
import type { StudyChanges } from "../../src/rl/studyConfig.ts";
import { nodeExperiment, nodeStudy } from "./nodeExperiment.ts";

export const browserCommands = {
  nodeExperiment: (_context: unknown, seed: number) => nodeExperiment(seed),
  nodeStudy: (_context: unknown, changes: StudyChanges) => nodeStudy(changes),
};

declare module "vitest/browser" {
  interface BrowserCommands {
    nodeExperiment(seed: number): ReturnType<typeof nodeExperiment>;
    nodeStudy(changes: StudyChanges): ReturnType<typeof nodeStudy>;
  }
}
