/** The tests of the host bundle: those of this machine's adapter. No page, no npm, nothing that reads the repository. */

import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { nodeProject } from "../../test/helpers/nodeProject.ts";

// These ask for a browser, a package that is not carried, or the repository as it is checked out.
const ELSEWHERE = ["test/web/**", "test/project/**", "test/examples/**", "test/cli/deno.node.test.ts"];

// The driver's variables stand already: run.mjs has set them.
export default defineConfig({
  root: fileURLToPath(new URL("../..", import.meta.url)),
  ...nodeProject({ env: {}, line: null }, ELSEWHERE, []),
});
