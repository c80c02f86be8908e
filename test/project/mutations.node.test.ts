/** The faults that `npm run test:mutation` puts in still have their place, and docs/testing.md names what it found, all of it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { root } from "../helpers/sourceFiles.ts";

interface Mutation {
  name: string;
  file: string;
  find: string;
}

const { MUTATIONS }: { MUTATIONS: Mutation[] } = await import(join(root, "test/mutation/mutations.mjs"));
const textOf = (file: string): string => readFileSync(join(root, file), "utf8");

test("each has a name of its own and one place in its file", () => {
  expect(new Set(MUTATIONS.map(({ name }) => name)).size).toBe(MUTATIONS.length);
  const places = MUTATIONS.map(({ name, file, find }) => [name, textOf(file).split(find).length - 1]);
  expect(places.filter(([, count]) => count !== 1)).toEqual([]);
});

test("docs/testing.md is of the last whole run", () => {
  const [, table] = textOf("docs/testing.md").split("<!-- mutation: begin -->");
  const rows = [...table.matchAll(/^\| (.+) \| `.+` \|$/gm)].map(([, name]) => name);
  expect(rows).toEqual(MUTATIONS.map(({ name }) => name));
});
