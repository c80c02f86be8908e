/**
 * Pictures of the page for the documentation: `node web/screenshots.mjs`. Trains the quick preset in the package's
 * Chromium, which takes some minutes without a GPU, and writes docs/images/page-*.png: wide and narrow, light and dark,
 * the tour, the controls, and a second run with the first laid over it.
 * Another query as its argument trains something else, and a folder as the second keeps the pictures elsewhere.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { runnerImport } from "vite";

const root = fileURLToPath(new URL("..", import.meta.url));
const helper = async (name) => (await runnerImport(join(root, "test/helpers", name))).module;
const { startWebPage } = await helper("webPage.ts");
const { ready, status } = await helper("pageRun.ts");

const [query = "", folder = join(root, "docs/images")] = process.argv.slice(2);
const WIDE = { width: 1280, height: 900 };
const NARROW = { width: 390, height: 844 };
const HOUR = 3_600_000;

const web = await startWebPage();
const page = await web.open(query, { viewport: WIDE, colorScheme: "light" });
await ready(page);

/** Takes one picture once the charts have found their size; `settings`: unfolded on a phone too. */
async function shoot(name, size, colorScheme, at, settings = false) {
  await page.setViewportSize(size);
  await page.emulateMedia({ colorScheme });
  await page.evaluate(
    ([selector, unfolded]) => {
      // As it is when a phone opens the page.
      document.querySelector("#settings-fold").open = unfolded || innerWidth > 820;
      const target = selector ? document.querySelector(selector) : document.body;
      const bar = document.querySelector("header").getBoundingClientRect().height;
      window.scrollTo({ top: selector ? target.getBoundingClientRect().top + scrollY - bar - 12 : 0 });
    },
    [at, settings],
  );
  await page.mouse.move(0, 0);
  await page.waitForTimeout(1000);
  const path = join(folder, `page-${name}.png`);
  await page.screenshot({ path });
  console.log(path);
}

/** Opens or closes the controls, as a visitor does. */
function foldControls(open) {
  return page.evaluate((value) => {
    document.querySelector("#controls").open = value;
  }, open);
}

/** Chooses the second token of the first wrong answer. */
async function chooseToken() {
  const wrong = page.locator("#samples > li:not(.right)").first();
  await wrong
    .locator("button")
    .nth(1)
    .evaluate((button) => button.click());
}

await page.click("#tour-begin");
await page.waitForSelector("#tour-step");
for (const _ of [2, 3]) await page.click("#tour-next");
await shoot("tour-narrow-dark", NARROW, "dark", "#tour");
for (const _ of [4, 5]) await page.click("#tour-next");
await shoot("tour-light", WIDE, "light", "#tour");
await page.reload();
await ready(page);

await page.click("#start");
await status(page, "GRPO: update 1[0-9]", HOUR).catch(() => console.log("no GRPO in this run"));
await shoot("wide-light", WIDE, "light", null);
await chooseToken();
await shoot("samples-light", WIDE, "light", "#samples-title");
await shoot("narrow-dark", NARROW, "dark", null);
await status(page, "Done", HOUR);
await page.waitForTimeout(1000);
await shoot("wide-dark", WIDE, "dark", null);
await foldControls(true);
await shoot("controls-narrow-light", NARROW, "light", "#controls", true);
await foldControls(false);
await shoot("samples-dark", WIDE, "dark", "#samples-title");
await shoot("narrow-light", NARROW, "light", ".curves");
await shoot("narrow-samples", NARROW, "light", "#samples-title");

// A second run of a few updates beside it, in the π form and with matched updates: the first is laid over it.
const [saved] = await Promise.all([
  page.waitForEvent("download"),
  page.getByRole("button", { name: "Download summary.json" }).click(),
]);
await page.goto(`${web.url}?arms=base,psr,nsr&form=pi&split=count&updates=5&evalSamples=64`);
await ready(page);
await page.setInputFiles("#compare-file", {
  name: "first.json",
  mimeType: "",
  buffer: readFileSync(await saved.path()),
});
await page.click("#start");
await status(page, "Done", HOUR);
await page.waitForTimeout(1000);
await shoot("compare-light", { width: 1280, height: 1080 }, "light", "#curves");
await web.close();
