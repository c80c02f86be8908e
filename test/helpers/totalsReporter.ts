/**
 * Prints the adapter as the first line of a run; as its last ones what failed, a line each, and `N passed, N failed`,
 * summed over the projects.
 */

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

  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly { readonly message?: string }[]): void {
    let passed = 0;
    const failures = unhandled.map((error) => failure("outside any test", [error]));
    for (const module of modules) {
      const before = failures.length;
      const place = `${module.project.name} ${module.relativeModuleId}`;
      for (const test of module.children.allTests()) {
        const { state, errors } = test.result();
        if (state === "passed") passed++;
        if (state === "failed") failures.push(failure(`${place} > ${test.fullName}`, errors));
      }
      if (module.state() === "failed" && failures.length === before)
        failures.push(failure(place, module.errors()));
    }
    if (passed + failures.length === 0) failures.push(failure("no test ran", []));
    if (failures.length > 0) process.exitCode = 1;
    // After the default reporter's own summary, whatever the order in which reporters are called.
    process.once("exit", () => {
      for (const line of failures) console.log(line);
      console.log(`${passed} passed, ${failures.length} failed`);
    });
  }
}

/** One line: where, and the beginning of what was said there. */
function failure(place: string, errors: readonly { readonly message?: string }[] = []): string {
  const message = errors[0]?.message?.split("\n", 1)[0]?.slice(0, 300);
  return `FAILED ${place}${message ? `: ${message}` : ""}`;
}
