/** What a test in a page may ask of the runner's process. */
import { nodeExperiment } from "./nodeExperiment.ts";

export const browserCommands = {
  nodeExperiment: (_context: unknown, seed: number) => nodeExperiment(seed),
};

declare module "vitest/browser" {
  interface BrowserCommands {
    nodeExperiment(seed: number): ReturnType<typeof nodeExperiment>;
  }
}
