/** The bench tab in Chromium: rows in the format of the command line, GPU times where there are timestamps, stopped by a click. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { BenchResult } from "../../src/bench/index.ts";
import { runCommand } from "../helpers/command.ts";
import { controlNames, overflow, poorContrast } from "../helpers/pageChecks.ts";
import { notices, ready } from "../helpers/pageRun.ts";
import { startWebPage, type WebPage } from "../helpers/webPage.ts";

let web: WebPage;
let page: Page;
let folder: string;
/** Requests for the tab's part of the page; the first is cut off. */
let cut = 0;
const errors: string[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "naysay-bench-tab-"));
  web = await startWebPage();
  page = await web.browser.newPage();
  page.on("pageerror", (error) => errors.push(error.message));
  await page.route(/\/benchTab-.*\.js/, (route) => (cut++ === 0 ? route.abort() : route.continue()));
  await page.goto(`${web.url}?preset=tiny#bench`);
  await ready(page);
});
afterAll(async () => {
  await web?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Waits until the progress says so. */
const progress = (text: RegExp) =>
  page.locator("#bench-progress").filter({ hasText: text }).waitFor({ timeout: 120_000 });

test("where its part of the page does not come, a line says so, and another press loads it", async () => {
  await page.locator(".notice.error").waitFor();
  expect(await notices(page)).toEqual([
    expect.stringMatching(
      /^The tab Bench: its part of the page expected, got ".+"\. Press the tab Bench again/,
    ),
  ]);
  expect([cut, await page.isDisabled("#bench-run"), errors]).toEqual([1, true, []]);
  await page.click("#tab-bench");
  await page.locator("#bench-run:not([disabled])").waitFor();
  await page.click("#tab-bench");
  expect([await notices(page), await page.locator("#bench-w1").count()]).toEqual([[], 1]);
});

test("the address opens it, arrow keys change tabs, every control has a name and text its contrast", async () => {
  expect(await page.isVisible("#panel-experiment")).toBe(false);
  await page.focus("#tab-bench");
  await page.keyboard.press("ArrowRight");
  expect(await page.isVisible("#panel-experiment")).toBe(true);
  expect(await page.isVisible("#panel-bench")).toBe(false);
  expect(await page.evaluate(() => location.hash)).toBe("");
  await page.keyboard.press("ArrowRight");
  expect(await page.isVisible("#panel-bench")).toBe(true);
  expect(await page.evaluate(() => location.hash)).toBe("#bench");
  expect((await controlNames(page)).filter(({ name }) => name === "")).toEqual([]);
});

test("measures what was chosen, and its file is one that compare reads", async () => {
  // SwiftShader computes here, so small sizes and W1 alone are what is chosen at first.
  expect([await page.isChecked("#bench-quick"), await page.isChecked("#bench-w2")]).toEqual([true, false]);
  await page.check("#bench-w2");
  await page.locator("#panel-bench summary").click();
  await page.check("#bench-op-add");
  await page.fill("#bench-time", "30");
  await page.click("#bench-run");
  await progress(/^\d+ rows, \d+ s\.$/);
  const download = page.waitForEvent("download");
  await page.click("#bench-download");
  const path = join(folder, "bench.json");
  await (await download).saveAs(path);
  const result = JSON.parse(readFileSync(path, "utf8")) as BenchResult;
  expect(result).toMatchObject({
    format: "naysay-bench-1",
    quick: true,
    time: 30,
    errors: [],
    finished: true,
  });
  expect(result.node).toMatch(/Chrome/);
  expect(result.rows.map(({ group }) => group)).toEqual(expect.arrayContaining(["w1", "w2", "op"]));
  const timestamps = await page.evaluate(async () => {
    const adapter = await (navigator as unknown as { gpu: GPU }).gpu.requestAdapter();
    return adapter?.features.has("timestamp-query");
  });
  expect(result.ceilings?.copy.gbs).toBeGreaterThan(0);
  for (const row of result.rows) {
    expect(row.wall.ms, row.name).toBeGreaterThan(0);
    expect(row.wall.samples, row.name).toBeGreaterThanOrEqual(5);
    if (timestamps) expect(row.gpu?.ms, row.name).toBeGreaterThan(0);
    else expect(row.gpu, row.name).toBe(null);
    expect(row.ofLimit, row.name).toBeGreaterThan(0);
    // Rates of small sizes wander, but no kernel is faster than what was measured to be the most.
    if (row.group === "w1") expect(row.ofFma, row.name).toBeLessThan(1.5);
  }
  expect(await page.locator("#bench-rows tbody tr").count()).toBe(result.rows.length);
  expect(await page.textContent("#bench-adapter")).toMatch(
    /maxStorageBuffersPerShaderStage\d+max.*maxBufferSize\d+\.\d+ [MG]iB/,
  );
  const { code, stdout, stderr } = await runCommand(process.execPath, [
    "bench/bench.mjs",
    "compare",
    path,
    path,
  ]);
  expect(code, stderr).toBe(0);
  expect(stdout).toContain(`0 of ${result.rows.length} rows differ`);
  expect(await poorContrast(page)).toEqual([]);
  for (const width of [390, 1280]) {
    await page.setViewportSize({ width, height: 800 });
    expect(await overflow(page), `${width}`).toMatchObject({ beyond: 0 });
  }
  expect([errors, await notices(page)]).toEqual([[], []]);
});

test("a click stops it, and it runs again", async () => {
  await page.fill("#bench-time", "60000");
  await page.click("#bench-run");
  await progress(/Measuring/);
  expect(await page.textContent("#bench-run")).toBe("Stop");
  await page.click("#bench-run");
  await progress(/^Stopped\.$/);
  expect(await page.textContent("#bench-run")).toBe("Run");
  expect(await notices(page)).toEqual([]);
});
