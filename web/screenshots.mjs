/**
 * Pictures of the page for the documentation: `node web/screenshots.mjs`. Trains the quick preset in the package's
 * Chromium, which takes some minutes without a GPU, and writes docs/images/page-*.png: wide and narrow, light and dark.
 * Another query as its argument trains something else, and a folder as the second keeps the pictures elsewhere.
 */
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

/** Takes one picture once the charts have found their size. */
async function shoot(name, size, colorScheme, at) {
  await page.setViewportSize(size);
  await page.emulateMedia({ colorScheme });
  await page.evaluate((selector) => {
    // As it is when a phone opens the page.
    document.querySelector("#settings-fold").open = innerWidth > 820;
    const target = selector ? document.querySelector(selector) : document.body;
    const bar = document.querySelector("header").getBoundingClientRect().height;
    window.scrollTo({ top: selector ? target.getBoundingClientRect().top + scrollY - bar - 12 : 0 });
  }, at);
  await page.mouse.move(0, 0);
  await page.waitForTimeout(1000);
  const path = join(folder, `page-${name}.png`);
  await page.screenshot({ path });
  console.log(path);
}

/** Chooses the second token of the first wrong answer. */
async function chooseToken() {
  const wrong = page.locator("#samples > li:not(.right)").first();
  await wrong
    .locator("button")
    .nth(1)
    .evaluate((button) => button.click());
}

await page.click("#start");
await status(page, "GRPO: update 1[0-9]", HOUR).catch(() => console.log("no GRPO in this run"));
await shoot("wide-light", WIDE, "light", null);
await chooseToken();
await shoot("samples-light", WIDE, "light", "#samples-title");
await shoot("narrow-dark", NARROW, "dark", null);
await status(page, "Done", HOUR);
await page.waitForTimeout(1000);
await shoot("wide-dark", WIDE, "dark", null);
await shoot("samples-dark", WIDE, "dark", "#samples-title");
await shoot("narrow-light", NARROW, "light", ".curves");
await shoot("narrow-samples", NARROW, "light", "#samples-title");
await web.close();
