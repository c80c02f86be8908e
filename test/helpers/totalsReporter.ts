/** Prints the adapter as the first line of a run and `N passed, N failed`, summed over the projects, as the last. */

import type { Reporter, TestModule } from "vitest/node";

/** Counts tests; a file that could not be loaded and an error outside any test count as one failure each. */
export class TotalsReporter implements Reporter {
  readonly #adapterLine: string | null;

  constructor(adapterLine: string | null) {
    this.#adapterLine = adapterLine;
  }

  onInit(): void {
    if (this.#adapterLine) console.error(this.#adapterLine);
  }

  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly unknown[]): void {
    let passed = 0;
    let failed = unhandled.length;
    for (const module of modules) {
      const before = failed;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === "passed") passed++;
        if (state === "failed") failed++;
      }
      if (module.state() === "failed" && failed === before) failed++;
    }
    if (passed + failed === 0) {
      failed = 1;
      console.error("no test ran");
    }
    if (failed > 0) process.exitCode = 1;
    // After the default reporter's own summary, whatever the order in which reporters are called.
    process.once("exit", () => console.log(`${passed} passed, ${failed} failed`));
  }
}
