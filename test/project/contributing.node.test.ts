/** The commands that CONTRIBUTING.md quotes are understood, and do what they are quoted for. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { naysay } from "../helpers/command.ts";
import { root } from "../helpers/sourceFiles.ts";

/** Arguments of `npx naysay`, from lines of shell and from code within the text. */
function quoted(): string[] {
  const page = readFileSync(join(root, "CONTRIBUTING.md"), "utf8");
  const found = [...page.matchAll(/(?:^|`)npx naysay ([^`#\n]*)/gm)];
  return found.map(([, words]) => words.trim());
}

test("naysay's are among them", () => {
  expect(quoted()).toEqual(["ops --json", "check", "check --ops exp,gpt2-step --seed 7"]);
});

// The whole check takes minutes: what it is without flags, test/check covers.
test.each(quoted().filter((words) => words !== "check"))("npx naysay %s", async (words) => {
  const tier = words.startsWith("check") ? ["--tier", "T0"] : [];
  const { code, stderr } = await naysay([...words.split(" "), ...tier], {
    NAYSAY_ADAPTER: process.env.NAYSAY_ADAPTER,
  });
  expect(code, stderr).toBe(0);
});
