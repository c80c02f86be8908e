/** What the page, and the examples, may not hold: whatever turns a string into markup or code, and the engine outside its worker. */
import { readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "vite";
import { expect, test } from "vitest";
import { root, sourceFiles, withoutComments } from "../helpers/sourceFiles.ts";

const FORBIDDEN =
  /\b(innerHTML|outerHTML|insertAdjacentHTML|document\.write(ln)?|srcdoc|DOMParser|createContextualFragment|setHTML(Unsafe)?|eval\(|new Function|javascript:)|\.on[a-z]+ *=(?!=)/;

/** The page without the engine, bytes after gzip: what a visitor loads before it, and the tab Bench, which loads when opened. */
const PAGE_BUDGET = 66_000;

function offences(path: string, text: string): string[] {
  const lines = withoutComments(text).split("\n");
  return lines.flatMap((line, i) => (FORBIDDEN.test(line) ? [`${path}:${i + 1} ${line.trim()}`] : []));
}

test("no string becomes markup or code", () => {
  const files = [
    ...sourceFiles("web/src", [".ts"]),
    ...sourceFiles("examples", [".ts", ".js", ".html"]).filter(
      (path) => !/node_modules|[\\/]dist[\\/]/.test(path),
    ),
  ];
  expect(files.length).toBeGreaterThan(40);
  const found = files.flatMap((path) => offences(relative(root, path), readFileSync(path, "utf8")));
  expect(found).toEqual([]);
});

test("index.html holds no script and no handler of its own", () => {
  const text = readFileSync(join(root, "web/index.html"), "utf8");
  expect(text.match(/<script[^>]*>/g)).toEqual(['<script type="module" src="./src/main.ts">']);
  expect(text).not.toMatch(/\son[a-z]+\s*=|javascript:|\sstyle=/i);
});

test("the rule bites", () => {
  for (const line of [
    "a.innerHTML = b",
    "document.write(x)",
    "eval(x)",
    "a.onclick = b",
    "new Function(x)",
  ]) {
    expect(offences("a.ts", line), line).toHaveLength(1);
  }
  for (const line of ["a.textContent = b", "if (a.on === b) c();", "evaluate(x)", "// innerHTML"]) {
    expect(offences("a.ts", line), line).toEqual([]);
  }
});

test("the engine is in the worker alone, and the page around it is small", async () => {
  const built = await build({
    configFile: join(root, "web/vite.config.ts"),
    logLevel: "error",
    build: { write: false },
  });
  const { output } = built as unknown as { output: { fileName: string; code?: string; source?: unknown }[] };
  // What the worker loads is made by a build of its own and comes as finished files.
  const scripts = output
    .filter(({ fileName }) => fileName.endsWith(".js"))
    .map(({ fileName, code, source }) => ({
      fileName,
      worker: code === undefined,
      text: String(code ?? source),
    }));
  expect(scripts.map(({ worker, text }) => [worker, text.includes("@compute")])).toContainEqual([true, true]);
  const page = scripts.filter(({ worker }) => !worker);
  expect(page.filter(({ text }) => text.includes("@compute"))).toEqual([]);
  // The tour comes when it is asked for.
  const first = page.filter(({ fileName }) => !/tourView/.test(fileName));
  expect(first).toHaveLength(page.length - 1);
  const size = first.reduce((sum, { text }) => sum + gzipSync(text).length, 0);
  console.log(`page: ${size} bytes gzip of ${PAGE_BUDGET}`);
  expect(size).toBeGreaterThan(10_000);
  expect(size).toBeLessThanOrEqual(PAGE_BUDGET);
});
