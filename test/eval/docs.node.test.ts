/** docs/estimators.md and the code name the same things. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { root, sourceFiles, withoutComments } from "../helpers/sourceFiles.ts";

const page = readFileSync(join(root, "docs/estimators.md"), "utf8");
const barrel = withoutComments(readFileSync(join(root, "src/eval/index.ts"), "utf8"));
const exported = [...barrel.matchAll(/export \{([^}]*)\} from "\.\/(\w+\.ts)"/g)].flatMap(([, names, file]) =>
  names.split(",").flatMap((name) => (name.trim() ? [{ name: name.trim(), file }] : [])),
);
/** Charts and tables are no estimators. */
const OTHER = ["palette.ts", "report.ts", "studyMarkdown.ts", "studyReport.ts", "svg.ts", "table.ts"];

test("every public function of evaluation is on the page", () => {
  expect(exported.length).toBeGreaterThan(30);
  const missing = exported.filter(({ name, file }) => !OTHER.includes(file) && !page.includes(`\`${name}\``));
  expect(missing).toEqual([]);
});

test("what the page names with a file is exported from that file", () => {
  const named = [...page.matchAll(/((?:`\w+`(?:, )?)+) \((\w+\.ts)\)/g)].flatMap(([, names, file]) =>
    [...names.matchAll(/`(\w+)`/g)].map(([, name]) => ({ name, file })),
  );
  expect(named.length).toBeGreaterThan(25);
  const wrong = named.filter(
    ({ name, file }) => !exported.some((known) => known.name === name && known.file === file),
  );
  expect(wrong).toEqual([]);
});

test("the files it names exist", () => {
  const files = sourceFiles("src/eval").map((path) => path.split("/").at(-1));
  for (const [, file] of page.matchAll(/\b(\w+\.ts)\b/g)) expect(files).toContain(file);
});
