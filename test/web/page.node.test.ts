/** The built page without a long run: hostile addresses and files, browsers without WebGPU, keyboard, readers, phones. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { chromiumLaunch, QUIET } from "../helpers/chromium.ts";
import { controlNames, overflow, poorContrast } from "../helpers/pageChecks.ts";
import { notices, ready, SHORT_QUERY, status } from "../helpers/pageRun.ts";
import { root } from "../helpers/sourceFiles.ts";
import { startWebPage, type WebPage } from "../helpers/webPage.ts";

let web: WebPage;
const errors: string[] = [];

async function open(query: string, options: Parameters<WebPage["open"]>[1] = {}): Promise<Page> {
  const page = await web.open(query, options);
  page.on("pageerror", (error) => errors.push(error.message));
  await ready(page);
  return page;
}

beforeAll(async () => {
  web = await startWebPage();
});
afterAll(() => web?.close());

describe("the check of the adapter", () => {
  test("can be stopped, and reports progress on the way", async () => {
    const page = await open("?preset=tiny&tier=T0");
    await page.click("#check");
    await page.waitForFunction(() =>
      / of \d+/.test(document.getElementById("check-progress")?.textContent ?? ""),
    );
    expect(await page.textContent("#check")).toBe("Stop the check");
    await page.click("#check");
    await page.waitForFunction(() => document.getElementById("check-progress")?.textContent === "Stopped.");
    expect(await page.textContent("#check")).toBe("Check this adapter");
    await page.close();
  });

  test("gives a report to copy, as text", async () => {
    const page = await open("?preset=tiny");
    // Three ops of the table stand for all: `test/check` has the whole of it.
    await page.evaluate(() => {
      const { naysay } = window as unknown as {
        naysay: { check(request: object, options: object): unknown };
      };
      const check = naysay.check.bind(naysay);
      naysay.check = (_request, options) => check({ tier: "T0", ops: ["add", "matmul", "sum"] }, options);
    });
    await page.click("#check");
    await page.waitForSelector("#check-text");
    expect(await page.textContent("#check-text")).toMatch(/^## naysay check\n[\s\S]*PASSED/);
    expect(await page.textContent("#check-progress")).toMatch(/^Passed\. \d+ s\.$/);
    await page.close();
  });
});

describe("addresses", () => {
  test("that are hostile are shown as text, run nothing, and leave a page that works", async () => {
    const image = '<img src=x onerror="window.hacked=1">';
    const query = new URLSearchParams({
      preset: image,
      arms: "base,<script>window.hacked=1</script>",
      learningRate: "7",
      sed: "3",
      [image]: "1",
      __proto__: "1",
      tier: "javascript:window.hacked=1",
    });
    const page = await open(`?${query}`);
    const shown = await notices(page);
    expect(shown).toContainEqual(expect.stringContaining("<script>window.hacked=1</script>"));
    expect(shown).toContainEqual(expect.stringContaining('Did you mean "seed"?'));
    expect(shown).toContainEqual(expect.stringMatching(/learningRate: .* got 7/));
    expect(
      await page.evaluate(() => [(window as { hacked?: number }).hacked, document.images.length]),
    ).toEqual([undefined, 0]);
    expect(await page.inputValue("#learningRate")).toBe("0.0003");
    await page.fill("#seed", "5");
    expect(await page.evaluate(() => location.search)).toBe("?preset=quick&seed=5");
    expect(await page.isEnabled("#start")).toBe(true);
    await page.close();
  });

  test("follow every change, and give it back", async () => {
    const page = await open("?preset=tiny");
    expect(await page.textContent("#preset-note")).toMatch(/smoke test: zeros are expected/);
    expect(await page.textContent("#about-scale")).not.toMatch(/almost everything/);
    await page.check("#arm-nsr-flipped");
    await page.fill("#updates", "3");
    await page.fill("#learningRate", "11");
    expect(await page.textContent("#learningRate-trouble")).toMatch(/a number in \[0, 1\] expected, got 11/);
    expect(await page.getAttribute("#learningRate", "aria-invalid")).toBe("true");
    await page.locator("#more summary").click();
    await page.selectOption("#tier", "T0");
    expect(await page.evaluate(() => location.search)).toBe(
      "?preset=tiny&arms=base,nsr,nsr-flipped&tier=T0&updates=3",
    );
    await expect.poll(() => page.textContent("#adapter-tier")).toBe("T0");
    expect(await page.textContent("#node-line")).toMatch(
      /^NAYSAY_TIER=T0 npx naysay experiment --preset tiny/,
    );
    await page.reload();
    await ready(page);
    expect(await page.isChecked("#arm-nsr-flipped")).toBe(true);
    expect(await page.inputValue("#updates")).toBe("3");
    expect(await page.inputValue("#tier")).toBe("T0");
    await page.selectOption("#preset", "quick");
    expect(await page.isHidden("#preset-note")).toBe(true);
    expect(await page.textContent("#about-scale")).toMatch(/almost everything/);
    await page.close();
  });

  test("that ask for a tier which the adapter lacks are told so", async () => {
    const page = await open("?tier=T3");
    await expect.poll(() => notices(page)).toContainEqual(expect.stringMatching(/T3/));
    expect(await page.inputValue("#tier")).toBe("auto");
    expect(await page.textContent("#adapter-tier")).not.toBe("T3");
    await page.close();
  });
});

describe("a checkpoint to start from", () => {
  const base = readFileSync(join(root, "assets/quick-base.safetensors"));
  const foreign = readFileSync(join(root, "test/golden/torch/gpt2/model.safetensors"));
  const headerBytes = Number(base.readBigUInt64LE(0));
  const header = base.subarray(8, 8 + headerBytes).toString("utf8");
  const withHeader = (text: string): Buffer => {
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(Buffer.byteLength(text)));
    return Buffer.concat([length, Buffer.from(text), base.subarray(8 + headerBytes)]);
  };
  const hugeHeader = Buffer.from(base);
  hugeHeader.writeBigUInt64LE(0xffff_ffff_ffffn, 0);

  test("that is damaged, lying or foreign is refused by name, and changes nothing", async () => {
    const page = await open("");
    const files: [string, Buffer][] = [
      ["empty", Buffer.alloc(0)],
      ["truncated", base.subarray(0, base.length - 1000)],
      ["cut-header", base.subarray(0, 100)],
      ["huge-header", hugeHeader],
      [
        "outside",
        withHeader(header.replace(/"data_offsets":\[(\d+),(\d+)\]/, '"data_offsets":[$1,99999999]')),
      ],
      ["not-json", withHeader("<img src=x onerror=window.hacked=1>")],
      ["foreign", foreign],
      ["<img src=x onerror=window.hacked=1>", Buffer.from("no checkpoint at all, only text")],
    ];
    for (const [name, buffer] of files) {
      await page.setInputFiles("#base-file", { name: `${name}.safetensors`, mimeType: "", buffer });
      const notice = page.locator(".notice.error > span");
      await expect
        .poll(() => notice.allTextContents(), { message: name })
        .toEqual([expect.stringMatching(/^CheckpointError: /)]);
      expect(await page.textContent("#base-state")).toBe("");
      await page.locator(".notice.error button").click();
    }
    expect(await page.evaluate(() => (window as { hacked?: number }).hacked)).toBeUndefined();
    expect(await page.isEnabled("#start")).toBe(true);
    await page.setInputFiles("#base-file", { name: "mine.safetensors", mimeType: "", buffer: base });
    await expect
      .poll(() => page.textContent("#base-state"))
      .toBe("mine.safetensors: 57,312 weights, width 48, 2 layers");
    await page.selectOption("#preset", "tiny");
    await page.setInputFiles("#base-file", { name: "mine.safetensors", mimeType: "", buffer: base });
    await expect.poll(() => notices(page)).toContainEqual(expect.stringMatching(/hiddenSize 16 expected/));
    await page.close();
  });
});

describe("without WebGPU", () => {
  test("the page says which browser this is, what helps, and what the engine said", async () => {
    // The same browser without the flags that switch WebGPU on, and a host name that is not secure.
    const options = await chromiumLaunch();
    const args = [...QUIET, "--no-sandbox", "--host-resolver-rules=MAP page.test 127.0.0.1"];
    const plain = await chromium.launch({ ...options, args });
    try {
      const page = await plain.newPage();
      await page.goto(web.url);
      const advice = page.locator("#unavailable");
      await advice.waitFor({ timeout: 20_000 });
      const text = (await advice.textContent()) ?? "";
      expect(text).toMatch(/This looks like Chrome \d+ on Linux\./);
      expect(text).toMatch(/--enable-unsafe-webgpu/);
      expect(text).toMatch(/The engine said: DeviceError: device: expected/);
      expect(await page.isEnabled("#start")).toBe(false);
      // The rest is there: settings, and the command for Node.
      await page.fill("#seed", "9");
      expect(await page.textContent("#node-line")).toMatch(/--seed 9/);
      await page.goto(web.url.replace("localhost", "page.test"));
      await advice.waitFor({ timeout: 20_000 });
      expect(await page.evaluate(() => isSecureContext)).toBe(false);
      expect(await advice.textContent()).toMatch(/secure pages only.*https/);
    } finally {
      await plain.close();
    }
  });
});

test("two tabs are never at the same run", async () => {
  const context = await web.browser.newContext();
  const [first, second] = [await context.newPage(), await context.newPage()];
  for (const page of [first, second]) {
    await page.goto(web.url + SHORT_QUERY);
    await ready(page);
  }
  await first.click("#start");
  await status(first, "(Building|base|NSR)");
  await second.click("#start");
  await expect
    .poll(() => notices(second))
    .toEqual([expect.stringMatching(/^Another tab is at this very run/)]);
  expect(await second.textContent("#status")).toBe("Ready");
  await first.click("#stop");
  await status(first, "Stopped");
  await second.click("#start");
  await status(second, "(Building|base|NSR)");
  // The first still shows the run, and may not remove the files under it.
  const runs = () => first.evaluate(async () => (await window.naysay?.runs())?.length);
  await first.click("#stored button:has-text('Discard')");
  await expect.poll(() => notices(first)).toContainEqual(expect.stringMatching(/^This run is under way/));
  await first.click("#reset");
  const question = first.locator("#confirm-yes"); // asked only where an arm is done
  if (await question.isVisible()) await question.click();
  await expect
    .poll(() => notices(first))
    .toContainEqual(expect.stringMatching(/^Another tab is at this very run. Stop it there/));
  expect(await first.textContent("#status")).toMatch(/^Stopped/);
  expect(await runs()).toBe(1);
  await second.click("#stop");
  await status(second, "Stopped");
  await first.click("#stored button:has-text('Discard')");
  await expect.poll(runs).toBe(0);
  await context.close();
});

test("a kept run that is refused is said, and keeps its files", async () => {
  const page = await open("?preset=tiny");
  await page.evaluate(async () => {
    let folder = await navigator.storage.getDirectory();
    for (const name of ["naysay", "runs", "mine"])
      folder = await folder.getDirectoryHandle(name, { create: true });
    const write = (name: string, text: string) =>
      window.naysay?.writeFile(`runs/mine/${name}`, new TextEncoder().encode(text));
    await write("request.json", JSON.stringify({ preset: "tiny", seed: 1, out: "runs/mine" }));
    await write("run.json", "{}");
    await write("nsr.safetensors", "the work of hours");
  });
  await page.reload();
  await ready(page);
  await page
    .locator("#resume-list")
    .getByRole("button", { name: /^Resume/ })
    .click();
  await page.locator(".notice.error").waitFor();
  await expect.poll(() => page.textContent("#status")).toBe("Ready");
  expect(await page.evaluate(() => window.naysay?.listFiles("runs/mine"))).toEqual(
    expect.arrayContaining(["nsr.safetensors", "run.json"]),
  );
  expect(await page.locator("#stored li").count()).toBe(1);
  await page.close();
});

describe("everybody", () => {
  test("every control has a name that a screen reader says", async () => {
    const page = await open("");
    await page.locator("#more summary").click();
    const names = await controlNames(page);
    expect(names.length).toBeGreaterThan(40);
    expect(names.filter(({ name }) => name === "")).toEqual([]);
    await page.close();
  });

  test("a keyboard alone starts, stops and resets a run", async () => {
    const page = await open(SHORT_QUERY);
    const focused = () => page.evaluate(() => document.activeElement?.id ?? "");
    let presses = 0;
    while ((await focused()) !== "start" && presses++ < 8) await page.keyboard.press("Tab");
    expect(await focused()).toBe("start");
    const outline = await page.evaluate(
      () => getComputedStyle(document.activeElement as Element).outlineStyle,
    );
    expect(outline).toBe("solid");
    await page.keyboard.press("Enter");
    await status(page, "(Building|base|NSR)");
    expect(await page.isEnabled("#seed")).toBe(false);
    await page.keyboard.press("x");
    await status(page, "Stopped");
    expect(await page.textContent("#start")).toBe("Continue");
    await page.keyboard.press("r");
    await status(page, "Ready");
    expect(await page.evaluate(async () => (await window.naysay?.runs())?.length)).toBe(0);
    // Keys that are typed into a field are text.
    await page.focus("#seed");
    await page.keyboard.press("p");
    expect(await page.textContent("#status")).toBe("Ready");
    await page.close();
  });

  test.each(["light", "dark"] as const)(
    "text can be read in %s colours, and the button changes them",
    async (scheme) => {
      const page = await open("?sed=1", { colorScheme: scheme });
      const other = scheme === "light" ? "Dark" : "Light";
      expect(await page.textContent("#theme")).toContain(other);
      expect(await poorContrast(page)).toEqual([]);
      // The check bites.
      await page.addStyleTag({ content: ".lead { color: #737b84 }" });
      expect(await poorContrast(page)).toContainEqual(expect.stringMatching(/^P lead/));
      const before = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      await page.click("#theme");
      expect(await page.evaluate(() => getComputedStyle(document.body).backgroundColor)).not.toBe(before);
      await page.close();
    },
  );

  test("a phone of 380 px scrolls down only", async () => {
    const page = await open("?sed=1", { viewport: { width: 380, height: 800 } });
    expect(await overflow(page)).toEqual({ beyond: 0, by: [] });
    await page.locator("#settings summary").first().click();
    await page.locator("#more summary").click();
    expect(await overflow(page)).toEqual({ beyond: 0, by: [] });
    await page.close();
  });
});

test("no error went unheard", () => expect(errors).toEqual([]));
