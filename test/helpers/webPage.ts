/** The built page in a browser: built once, served as plain files from a folder below the root, as any host would. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { build } from "vite";
import { chromiumLaunch, serveFolder } from "./chromium.ts";
import { root } from "./sourceFiles.ts";

/** Not the root: a page that asks for absolute paths fails here. */
const BELOW = "some/folder/";

export interface WebPage {
  browser: Browser;
  /** Address of the page, without a query. */
  url: string;
  /** A fresh page with storage of its own; `first` runs in it before its own code. */
  open(query?: string, options?: BrowserContextOptions, first?: () => void): Promise<Page>;
  close(): Promise<void>;
}

/** Builds the page and starts server and browser. */
export async function startWebPage(): Promise<WebPage> {
  const folder = mkdtempSync(join(tmpdir(), "naysay-page-"));
  await build({
    configFile: join(root, "web", "vite.config.ts"),
    logLevel: "error",
    build: { outDir: join(folder, BELOW), emptyOutDir: true },
  });
  const server = await serveFolder(folder);
  const browser = await chromium.launch(await chromiumLaunch());
  const url = server.url + BELOW;
  return {
    browser,
    url,
    async open(query = "", options = {}, first) {
      const page = await browser.newPage(options);
      if (first) await page.addInitScript(first);
      await page.goto(url + query);
      return page;
    },
    async close() {
      await browser.close();
      await server.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
