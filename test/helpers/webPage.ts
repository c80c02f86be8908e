/** The built page in a browser: built once, served as plain files from a folder below the root, as any host would. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { build } from "vite";
import { chromiumOptions } from "./chromium.ts";
import { root } from "./sourceFiles.ts";

const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".safetensors": "application/octet-stream",
};
/** Not the root: a page that asks for absolute paths fails here. */
const PREFIX = "/some/folder/";

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
    build: { outDir: folder, emptyOutDir: true },
  });
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url ?? "/", "http://localhost").pathname);
    try {
      if (!path.startsWith(PREFIX)) throw new Error("outside");
      const file = path.slice(PREFIX.length) || "index.html";
      const bytes = readFileSync(join(folder, file));
      response
        .writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream" })
        .end(bytes);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const browser = await chromium.launch(await chromiumOptions());
  const url = `http://127.0.0.1:${port}${PREFIX}`;
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
      server.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
