/** `runCheck` in a worker, which has no DOM; its report goes through `postMessage`. */

import { expect, test } from "vitest";
import type { CheckReport } from "../../src/check/report.ts";

test("a check in a worker", async () => {
  const worker = new Worker(new URL("../helpers/checkWorker.ts", import.meta.url), { type: "module" });
  const report = await new Promise<CheckReport>((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = (event) => reject(new Error(event.message));
  });
  worker.terminate();
  expect(report).toMatchObject({ failures: 0, ended: null, runtime: navigator.userAgent });
  expect(report.tiers[0].ops[0].forward.done).toBeGreaterThan(10);
});
