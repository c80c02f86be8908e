/**
 * Pictures of the built page after some rounds in which every name with an `o` is rejected: wide and on a phone, light and dark.
 *
 *     npm run build && node scripts/screenshots.mjs [folder] [rounds]
 */
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { preview } from "vite";
import { softwareChromium } from "../../../dist/cli/software.js";

const [folder = ".", rounds = "12"] = process.argv.slice(2);
const root = fileURLToPath(new URL("..", import.meta.url));
const server = await preview({ root, logLevel: "silent", preview: { port: 0 } });
const found = await softwareChromium();
const browser = await chromium.launch({
  ...(found
    ? { executablePath: found.executable, env: { ...process.env, ...found.env } }
    : { channel: "chrome" }),
  args: [
    ...(found ? ["--no-sandbox", "--use-webgpu-adapter=swiftshader"] : []),
    "--enable-unsafe-webgpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});
const page = await browser.newPage({ viewport: { width: 1100, height: 900 }, deviceScaleFactor: 1 });
page.on("console", (message) => console.log("console:", message.text()));
page.on("pageerror", (error) => console.log("error:", error));
await page.goto(`${server.resolvedUrls.local[0]}?seed=1`);
const ready = () => page.waitForSelector('#next[aria-disabled="false"]', { timeout: 120_000 });
await ready();
for (let round = 1; round <= Number(rounds); round++) {
  for (const card of await page.locator("#names button").all()) {
    if (/o/i.test(await card.locator(".name").textContent())) await card.click();
  }
  await page.click("#next");
  await ready();
}
await page.locator("#names button").nth(1).click();
const shoot = (name) => page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });
await shoot("wide");
// The picture for the documentation ends under the chart.
const { x, y, width, height } = await page.locator("#sofar").boundingBox();
const clip = { x: x - 30, y: 20, width: width + 60, height: y + height - 10 };
await page.screenshot({ path: `${folder}/thumbs-down.png`, fullPage: true, clip });
await page.emulateMedia({ colorScheme: "dark" });
await shoot("wide-dark");
await page.setViewportSize({ width: 390, height: 844 });
await shoot("phone-dark");
await page.emulateMedia({ colorScheme: "light" });
await shoot("phone");
await browser.close();
await server.close();
