/**
 * `npm run test:mutation [words]`: puts one fault after another into a copy of the tree and runs the tests that should
 * notice. Writes the outcome to docs/testing.md; exit code 1 where a fault survives. Words choose faults by name.
 */

import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { MUTATIONS } from "./mutations.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
if (!existsSync(join(root, "dist"))) {
  const { status } = spawnSync(process.execPath, [join(root, "scripts/build.mjs")], { stdio: "inherit" });
  if (status !== 0) process.exit(1);
}
const copy = mkdtempSync(join(tmpdir(), "naysay-mutation-"));
const COPIED = [
  "src",
  "test",
  "scripts",
  "dist",
  "docs",
  "package.json",
  "tsconfig.json",
  "tsconfig.build.json",
  "vitest.config.ts",
];
for (const name of COPIED) cpSync(join(root, name), join(copy, name), { recursive: true });
symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));

/** A test file, or part of one: `only` is a pattern of names, `env` more of the environment. */
const fileOf = (test) => (typeof test === "string" ? test : test.file);

/** Runs tests in the copy; true where all passed. The seed is fixed: a fault is found again or not at all. */
function passes(test) {
  // Tests that start the command line would rebuild dist/; nothing here needs it.
  const later = new Date(Date.now() + 3_600_000);
  utimesSync(join(copy, "dist/cli/main.js"), later, later);
  const vitest = join(root, "node_modules/vitest/vitest.mjs");
  const only = test.only ? ["-t", test.only] : [];
  const args = [vitest, "run", "--project", "node", "--bail", "1", fileOf(test), ...only];
  const { status } = spawnSync(process.execPath, args, {
    cwd: copy,
    env: { ...process.env, NAYSAY_SEED: "7", ...test.env },
    encoding: "utf8",
    timeout: 600_000,
  });
  return status === 0;
}

/** Text of a fault's file with the fault in it. */
function faulty({ name, file, find, replace }) {
  const text = readFileSync(join(root, file), "utf8");
  const count = text.split(find).length - 1;
  if (count === 1) return text.replace(find, () => replace);
  throw new Error(`${name}: its text occurs ${count} times in ${file}; bring test/mutation up to date`);
}

const words = process.argv.slice(2);
const chosen = MUTATIONS.filter(({ name }) => words.length === 0 || words.some((w) => name.includes(w)));
const rows = [];
try {
  for (const m of chosen) faulty(m);
  for (const file of new Set(chosen.flatMap((m) => m.tests).map(fileOf))) {
    if (!passes(file)) throw new Error(`${file} fails without any fault; mend that first`);
  }
  for (const m of chosen) {
    writeFileSync(join(copy, m.file), faulty(m));
    const test = m.tests.find((t) => !passes(t));
    const by = test && fileOf(test);
    cpSync(join(root, m.file), join(copy, m.file));
    rows.push({ name: m.name, by });
    console.log(`${by ? "found   " : "SURVIVED"}  ${m.name}${by ? `  (${by})` : ""}`);
  }
} finally {
  rmSync(copy, { recursive: true, force: true });
}

const survived = rows.filter((r) => !r.by);
console.log(`${rows.length - survived.length} found, ${survived.length} survived`);
if (words.length === 0) {
  const path = join(root, "docs/testing.md");
  const text = readFileSync(path, "utf8");
  const [before, rest] = text.split("<!-- mutation: begin -->");
  const after = rest.split("<!-- mutation: end -->")[1];
  const table = rows.map((r) => `| ${r.name} | ${r.by ? `\`${r.by}\`` : "**survived**"} |`);
  const body = ["| Fault | Found by |", "| --- | --- |", ...table].join("\n");
  writeFileSync(
    path,
    `${before}<!-- mutation: begin -->\n\n${rows.length - survived.length} of ${rows.length} faults are found.\n\n${body}\n\n<!-- mutation: end -->${after}`,
  );
}
process.exitCode = survived.length > 0 ? 1 : 0;
