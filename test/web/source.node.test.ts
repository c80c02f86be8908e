/** What the page's source may not hold: whatever turns a string into markup or code. */
import { readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { expect, test } from "vitest";
import { root, sourceFiles, withoutComments } from "../helpers/sourceFiles.ts";

const FORBIDDEN =
  /\b(innerHTML|outerHTML|insertAdjacentHTML|document\.write(ln)?|srcdoc|DOMParser|createContextualFragment|setHTML(Unsafe)?|eval\(|new Function|javascript:)|\.on[a-z]+ *=(?!=)/;

function offences(path: string, text: string): string[] {
  const lines = withoutComments(text).split("\n");
  return lines.flatMap((line, i) => (FORBIDDEN.test(line) ? [`${path}:${i + 1} ${line.trim()}`] : []));
}

test("no string becomes markup or code", () => {
  const files = sourceFiles("web/src", [".ts"]);
  expect(files.length).toBeGreaterThan(20);
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
