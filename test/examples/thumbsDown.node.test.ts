/**
 * The app that learns from thumbs down, as a user has it: type-checked and built against the package, in Chromium, its
 * real buttons pressed by somebody who rejects every name that begins with a letter before M.
 */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { build, type PreviewServer, preview } from "vite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { decodeCheckpoint, parametersFrom } from "../../src/model/checkpoint.ts";
import { Distributions } from "../../src/model/distributions.ts";
import { packRows } from "../../src/model/sequences.ts";
import { Tokenizer } from "../../src/model/tokenizer.ts";
import { Transformer } from "../../src/model/transformer.ts";
import { useBackend } from "../helpers/backend.ts";
import { chromiumLaunch } from "../helpers/chromium.ts";
import { runCommand } from "../helpers/command.ts";
import { root } from "../helpers/sourceFiles.ts";

const ROUNDS = 10;
/** What somebody dislikes. */
const BAD = /^[a-l]/i;

/** A copy of the app outside the repository, with the package under its node_modules. */
let app: string;
let server: PreviewServer;
let browser: Browser;
let page: Page;
const requests: string[] = [];
const errors: string[] = [];

beforeAll(async () => {
  app = mkdtempSync(join(tmpdir(), "naysay-thumbs-down-"));
  cpSync(join(root, "examples", "thumbs-down-app"), app, {
    recursive: true,
    filter: (path) => !["node_modules", "dist"].includes(basename(path)),
  });
  mkdirSync(join(app, "node_modules"));
  symlinkSync(root, join(app, "node_modules", "naysay"));
  await build({ root: app, logLevel: "error" });
  server = await preview({ root: app, logLevel: "error", preview: { port: 0 } });
  browser = await chromium.launch(await chromiumLaunch());
  page = await browser.newPage();
  page.context().on("request", (request) => requests.push(request.url()));
  page.on("pageerror", (error) => errors.push(error.message));
  await page.goto(`${server.resolvedUrls!.local[0]}?seed=1`);
  await ready();
});

afterAll(async () => {
  await browser?.close();
  await server?.close();
  rmSync(app, { recursive: true, force: true });
});

/** Names are proposed and buttons answer. */
async function ready(): Promise<void> {
  await page.waitForSelector('#next[aria-disabled="false"]', { timeout: 60_000 });
}

const names = () => page.locator("#names .name").allTextContents();

/** Full values of the numbers in a table or list, row by row. */
const values = (rows: string): Promise<number[][]> =>
  page
    .locator(rows)
    .evaluateAll((found) =>
      found.map((row) => Array.from(row.querySelectorAll("data"), (data) => Number(data.value))),
    );

const total = (logProbs: number[]): number => logProbs.reduce((sum, l) => sum + Math.exp(l), 0);

/** Everything that must outlive a reload. */
async function kept() {
  return {
    names: await names(),
    count: await page.textContent(".count"),
    rejected: await values("#rejected-rows tr"),
    words: await page.textContent("#chart-words"),
  };
}

/** Probability that the first name drawn from a checkpoint is a bad one: exact, for it depends on the first letter only. */
async function badness(bytes: Uint8Array): Promise<number> {
  const decoded = decodeCheckpoint(bytes);
  const tokenizer = Tokenizer.fromJSON(JSON.parse(decoded.metadata.get("tokenizer")!));
  const model = new Transformer(decoded.config);
  const begun = packRows([[tokenizer.bos]], [[]], { completionLength: 1 });
  const first = await new Distributions(model).of(parametersFrom(decoded).tensors, begun, 1);
  return first.reduce(
    (sum, p, id) => (BAD.test(tokenizer.vocab[id]) && id > tokenizer.eos ? sum + p : sum),
    0,
  );
}

test("type-checks against the package", async () => {
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const { code, stdout } = await runCommand(process.execPath, [tsc, "-p", app, "--noUncheckedIndexedAccess"]);
  expect(code, stdout).toBe(0);
});

test("proposes six names, and going on without a rejection learns nothing", async () => {
  const first = await names();
  expect(first.map((name) => /^[A-Z][a-z]+…?$/.test(name))).toEqual(Array(6).fill(true));
  await page.click("#next");
  await ready();
  expect(await names()).not.toEqual(first);
  expect(await page.textContent("#count")).toBe("0");
  expect(await page.isHidden("#change")).toBe(true);
});

test("what is rejected becomes rarer, by the page's own numbers", async () => {
  let rejections = 0;
  for (let round = 1; round <= ROUNDS; round++) {
    const before = await names();
    const bad = before.flatMap((name, i) => (BAD.test(name) ? [i] : []));
    // By key in the first rounds, by click in the others.
    if (round <= 2) for (const i of bad) await page.keyboard.press(String(i + 1));
    else for (const i of bad) await page.locator("#names button").nth(i).click();
    const pressed = await page.locator('#names [aria-pressed="true"]').all();
    const labels = await Promise.all(pressed.map((button) => button.getAttribute("aria-label")));
    expect(labels).toEqual(bad.map((i) => `Reject ${before[i]}`));
    await page.click("#next");
    await ready();
    rejections += bad.length;
    expect(await page.textContent("#count")).toBe(String(rejections));
    if (bad.length === 0) continue;
    // The update's own table: the rejected ones together lost.
    const rows = await values("#change-rows tr");
    expect(rows).toHaveLength(6);
    const rejected = rows.filter((_, i) => bad.includes(i));
    expect(total(rejected.map(([, after]) => after))).toBeLessThan(total(rejected.map(([b]) => b)));
  }
  const rows = await values("#rejected-rows tr");
  expect(rows.length).toBeGreaterThan(10);
  expect(total(rows.map(([, now]) => now))).toBeLessThan(0.5 * total(rows.map(([atStart]) => atStart)));
  expect(await page.locator("#chart .line.now").count()).toBe(1);
  expect(await page.textContent("#status")).toContain((await names()).join(", "));
});

test("the policy that it downloads has unlearned the kind, names never shown included", async () => {
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#download")]);
  expect(download.suggestedFilename()).toBe("thumbs-down.safetensors");
  await ready();
  const { backend } = await useBackend();
  const start = await badness(readFileSync(join(app, "public", "base.safetensors")));
  const now = await badness(readFileSync(await download.path()));
  backend.destroy();
  expect(start).toBeGreaterThan(0.4);
  expect(now).toBeLessThan(0.95 * start);
});

test("it has not fallen apart", async () => {
  const [[distinct], [likeNames]] = await values("#tiles > div");
  expect(distinct).toBeGreaterThan(55);
  expect(likeNames).toBeGreaterThan(48);
});

test("a reload goes on where it was; starting over forgets", async () => {
  const before = await kept();
  await page.reload();
  await ready();
  expect(await kept()).toEqual(before);
  page.once("dialog", (dialog) => dialog.accept());
  await page.click("#over");
  await ready();
  expect(await page.textContent("#count")).toBe("0");
  await page.reload();
  await ready();
  expect(await page.textContent("#count")).toBe("0");
  expect(await page.isHidden("#sofar")).toBe(true);
});

test.each(["{", '{"weights":null}'])("%s in the journal is a fresh start that says so", async (content) => {
  await page.evaluate(async (content) => {
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("naysay");
    const file = await folder.getFileHandle("thumbs-down.json", { create: true });
    const writable = await file.createWritable();
    await writable.write(content);
    await writable.close();
  }, content);
  await page.reload();
  await ready();
  await expect.poll(() => page.textContent("#trouble")).toMatch(/fresh start/);
  await page.reload();
  await ready();
  expect(await page.isHidden("#trouble")).toBe(true);
});

test("no request left the page's origin, and nothing was thrown", () => {
  const origin = new URL(page.url()).origin;
  const worker = requests.filter((url) => /worker/.test(url));
  expect(worker.length, "the worker's own requests are seen").toBeGreaterThan(0);
  expect(requests.filter((url) => !/^(data|blob):/.test(url) && new URL(url).origin !== origin)).toEqual([]);
  expect(errors).toEqual([]);
});
