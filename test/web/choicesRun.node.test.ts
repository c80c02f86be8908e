/**
 * One page for what a visitor can choose: the tour's numbers, a run of another task with another algorithm and controls
 * from an address, with Node's bits, and that run laid over another.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runExperiment } from "../../src/rl/experiment.ts";
import { experimentConfig } from "../../src/rl/presets.ts";
import { adapterOf } from "../../src/worker/deviceKeeper.ts";
import { useBackend } from "../helpers/backend.ts";
import { memoryFiles } from "../helpers/memoryFiles.ts";
import { controlNames, overflow, poorContrast } from "../helpers/pageChecks.ts";
import { hashes, notices, ready, status } from "../helpers/pageRun.ts";
import { startWebPage, type WebPage } from "../helpers/webPage.ts";

/** Wrong answers alone teach it: a base of four steps has no others. */
const QUERY =
  "?preset=tiny&task=addition&arms=base,nsr-to-w&tier=T0&split=count&cut=after&normaliser=all&optimizer=sgd&learningRate=0.1&splitSize=2&lambda=0.2";

let web: WebPage;
let page: Page;
let folder: string;
const errors: string[] = [];

beforeAll(async () => {
  web = await startWebPage();
  page = await web.open(QUERY);
  page.on("pageerror", (error) => errors.push(error.message));
  await ready(page);
  folder = mkdtempSync(join(tmpdir(), "naysay-choices-"));
}, 120_000);
afterAll(async () => {
  await web?.close();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

/** Numbers of a column of the tour's only table, by token. */
async function column(at: number): Promise<Record<string, number>> {
  const rows = page.locator("#tour-panel tbody tr");
  const [names, values] = await Promise.all([
    rows.locator("th").allTextContents(),
    rows.locator(`td:nth-of-type(${at})`).allTextContents(),
  ]);
  return Object.fromEntries(
    names.map((name, i) => [name.replace(" (drawn)", ""), Number(values[i].replace("−", "-"))]),
  );
}

const sum = (values: Record<string, number>): number => Object.values(values).reduce((a, b) => a + b, 0);

test("the tour punishes a wrong answer and rewards a right one, on the engine", async () => {
  await page.click("#tour-begin");
  const title = page.locator("#tour-step");
  await title.waitFor({ timeout: 90_000 });
  const [wrong, right] = await page.locator("#tour-panel mark").allTextContents();
  expect(wrong).not.toBe(right);
  await page.click("#tour-next");
  const before = await column(2);
  expect(sum(before)).toBeCloseTo(100, 0);
  for (const [name, token, sign] of [
    ["NSR", wrong, -1],
    ["PSR", right, 1],
  ] as const) {
    await page.click("#tour-next");
    expect(await title.textContent()).toContain(name);
    // That the weights are the base's again the tour checks itself: it shows no step otherwise.
    expect(await column(2)).toEqual(before);
    const [after, change] = [await column(3), await column(4)];
    expect(sum(after)).toBeCloseTo(100, 0);
    expect(sign * change[token]).toBeGreaterThan(1);
    // The likeliest of the others goes the other way.
    const [rival] = Object.entries(before)
      .filter(([other]) => other !== token)
      .sort((a, b) => b[1] - a[1])[0];
    expect(sign * change[rival]).toBeLessThan(-0.5);
    const said = await page.locator("#tour-panel .tour-says").textContent();
    const moved = Math.abs(change[token] / 100).toFixed(2);
    expect(said).toContain(
      sign < 0 ? `NSR took ${moved} from “${wrong}”` : `PSR gave ${moved} to “${right}”`,
    );
    expect(said).toContain(`“${rival}” (${sign < 0 ? "+" : "−"}`);
    // A whole answer moves the same token the same way, and others by the shared weights.
    await page.click("#tour-whole");
    expect(sign * (await column(4))[token]).toBeGreaterThan(1);
    expect(await column(4)).not.toEqual(change);
    await page.click("#tour-alone");
    expect(await column(4)).toEqual(change);
  }
  await page.focus("#tour-next");
  await page.keyboard.press("Enter");
  expect(await page.locator("#tour-panel table").count()).toBe(2);
  expect(await page.evaluate(() => document.activeElement?.id)).toBe("tour-back");
  const href = (await page.getAttribute("#tour-panel a", "href")) ?? "";
  expect(await page.evaluate(async (url) => (await fetch(url)).text(), href)).toMatch(/^# Algorithms/);
});

test("another task, another algorithm and controls from an address give Node's bits", async () => {
  expect(await notices(page)).toEqual([]);
  expect(await page.textContent("#task-note")).toMatch(/pretrained here first, 4 steps/);
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: "Download run.json" }).click(),
  ]);
  const changes = JSON.parse(readFileSync(await download.path(), "utf8"));
  await page.click("#start");
  await status(page, "Done");
  // The base's pretraining has a bar of its own.
  expect(
    await page
      .locator("#progress > span")
      .evaluateAll((bars) => bars.map((bar) => bar.getAttribute("title"))),
  ).toEqual(["pretraining", "base", "NSR to W-REINFORCE 0.2"]);
  const { backend } = await useBackend({ tier: "T0" });
  const { arms } = await runExperiment({
    config: experimentConfig("tiny", changes),
    preset: "tiny",
    seed: 1,
    files: memoryFiles(),
    out: "run",
    adapter: adapterOf(backend),
    command: "test",
  });
  backend.destroy();
  expect(arms[1].updates).toBe(4);
  expect(arms[1].weightsSha256).not.toBe(arms[0].weightsSha256);
  const wanted = Object.fromEntries(arms.map(({ name, weightsSha256 }) => [name, weightsSha256]));
  await expect.poll(() => hashes(page)).toEqual(wanted);
});

test("a kept run and an uploaded one are laid over the one on show, by keys, with what differs", async () => {
  const first = await hashes(page);
  const [saved] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: "Download summary.json" }).click(),
  ]);
  const summary = JSON.parse(readFileSync(await saved.path(), "utf8"));
  await page.selectOption("#form", "pi");
  await page.click("#start");
  await status(page, "Done");
  await expect.poll(async () => Object.keys(await hashes(page))).toHaveLength(2);
  const compare = page.getByRole("button", { name: /^Compare the run/ });
  await expect.poll(() => compare.count()).toBe(1);
  await compare.focus();
  await page.keyboard.press("Enter");
  const name = "NSR to W-REINFORCE 0.2";
  await expect.poll(async () => (await hashes(page))[`${name} B`]).toBe(first[name]);
  const differing = (): Promise<string[]> => page.locator("#compare-differences tbody tr").allTextContents();
  expect(await differing()).toEqual(['algorithm.form"pi"–']);
  await expect
    .poll(() => page.locator("#chart-pass .plot").getAttribute("aria-label"))
    .toContain(`${name} B 0%`);
  // A file says the same of the same run; one that is none is refused.
  const upload = (file: object, called: string) =>
    page.setInputFiles("#compare-file", {
      name: called,
      mimeType: "",
      buffer: Buffer.from(JSON.stringify(file)),
    });
  await upload({ ...summary, seed: 7 }, "seven.json");
  await expect.poll(async () => (await hashes(page))[`${name} C`]).toBe(first[name]);
  expect(await differing()).toEqual(["seed117", 'algorithm.form"pi"––']);
  await upload({ arms: [{ name: "<img src=x>" }] }, "<b>.json");
  await expect
    .poll(() => notices(page))
    .toContainEqual(expect.stringMatching(/^ConfigError: compare: <b>\.json: passAtK of <img/));
  for (const _ of ["light", "dark"]) {
    expect(await poorContrast(page)).toEqual([]);
    await page.click("#theme");
  }
  expect((await controlNames(page)).filter((control) => control.name === "")).toEqual([]);
  await page.setViewportSize({ width: 380, height: 800 });
  await expect.poll(() => overflow(page)).toEqual({ beyond: 0, by: [] });
  await page.getByRole("button", { name: "Compare B no longer" }).press("Enter");
  await expect
    .poll(async () => Object.keys(await hashes(page)).filter((row) => row.endsWith(" B")))
    .toEqual([]);
  expect(errors).toEqual([]);
});

test("a pause while a base is pretrained rests after the step under way, says so, and goes on from there", async () => {
  const other = await web.open("?preset=tiny&task=addition&arms=base&tier=T0&pretrainSteps=2000");
  await ready(other);
  const said = (): Promise<string | null> => other.textContent("#status");
  await other.click("#start");
  await status(other, "Pretraining the base: step \\d");
  await other.click("#start");
  await status(other, "Paused\\. Pretraining the base: step \\d[\\d,]* of 2,000", 3000);
  const rested = await said();
  await other.waitForTimeout(600);
  expect(await said()).toBe(rested);
  await other.click("#start");
  await status(other, "Pretraining the base: step \\d");
  const step = (text: string | null): number => Number(text?.match(/step ([\d,]+) of/)?.[1].replace(",", ""));
  await expect.poll(async () => step(await said()), { timeout: 5000 }).toBeGreaterThan(step(rested));
  await other.click("#stop");
  await status(other, "Stopped");
  await other.close();
});
