import { expect, test } from "vitest";
import { renderReport } from "../../src/eval/report.ts";
import type { ArmSummary, MetricsRow, Summary } from "../../src/eval/summary.ts";
import { alignColumns, renderTable, sparkline } from "../../src/eval/table.ts";

const arm = (name: string, pass: number): ArmSummary => ({
  name,
  passAtK: { "1": pass, "2": (1 + pass) / 2, "256": 1 },
  intervals: { "1": [pass - 0.1, pass + 0.1] },
  entropy: 0.51234,
  updates: 20,
  rolloutTokens: 15360,
  trainSeconds: 130.4,
  rolloutSeconds: 8.25,
  weightsSha256: "0123456789abcdef",
});

const summary = (names: string[]): Summary => ({
  adapter: { vendor: "v", description: "d", backend: "vulkan", tier: "T0", software: true },
  seed: 7,
  preset: "quick",
  command: "naysay experiment --preset quick",
  seconds: 61.23,
  arms: names.map((name, i) => arm(name, 0.4 + 0.1 * i)),
  versions: { naysay: "0.1.0" },
});

const rows = (names: string[]): MetricsRow[] =>
  names.flatMap((name) =>
    [1, 2, 3].map((update) => ({ arm: name, update, reward: update / 4, entropy: 1, grad_norm: 2 })),
  );

test("holds the arms, the numbers, the charts and how it was made", () => {
  const html = renderReport(summary(["base", "NSR"]), rows(["NSR"]));
  for (const text of [
    "base",
    "NSR",
    "Pass@256",
    "40.0",
    "50.0",
    "30.0 – 50.0",
    "0.512",
    "15,360",
    "2 min 10 s",
    "01234567",
  ]) {
    expect(html).toContain(text);
  }
  for (const text of [
    "naysay experiment --preset quick",
    "v · d · vulkan · T0 · software",
    "quick, 7",
    "naysay 0.1.0",
  ]) {
    expect(html).toContain(text);
  }
  expect(html.match(/<svg/g)!.length).toBe(4);
  expect(html).toContain("prefers-color-scheme");
  expect(html).not.toMatch(/NaN|undefined|\[object/);
});

test("bold is a number whose interval lies above all others', and no number that is merely the largest", () => {
  const bold = (...means: number[]) => {
    const arms = means.map((mean, i) => arm(`arm ${i}`, mean));
    const html = renderReport({ ...summary([]), arms }, []);
    return [...html.matchAll(/class="above">([\d.]+)/g)].map(([, text]) => text);
  };
  // Each is 0.1 to either side; Pass@2 and Pass@256 have none.
  expect(bold(0.3, 0.51, 0.3)).toEqual(["51.0"]);
  expect(bold(0.3, 0.51, 0.32)).toEqual([]);
  expect(bold(0.3, 0.49)).toEqual([]);
  expect(bold(0.3, 0.3)).toEqual([]);
  expect(bold(0.3)).toEqual([]);
  const first = arm("bare", 0.2);
  expect(
    renderReport({ ...summary([]), arms: [{ ...first, intervals: undefined }, arm("b", 0.9)] }, []),
  ).not.toContain('class="above"');
});

test("asks for nothing from outside and runs no script", () => {
  const html = renderReport(summary(["base"]), []);
  expect(html).not.toMatch(/https?:|<script|<link|<img|url\(|@import/);
});

test("hostile names stay text", () => {
  const name = `<img src=x onerror=alert(1)></style></title>"'&`;
  const bad: Summary = { ...summary([name]), preset: name, command: name, versions: { [name]: name } };
  bad.arms[0].weightsSha256 = "<b>";
  bad.adapter.description = name;
  const html = renderReport(bad, rows([name]));
  expect(html).not.toMatch(/<img|<b>/);
  expect(html.match(/<\/style>/g)!.length).toBe(1);
  expect(html.match(/<\/title>/g)!.length).toBe(1 + 4); // the page's and one for each chart
  expect(html).toContain("&lt;img src=x onerror=alert(1)&gt;");
});

test("runs that are cut short still give a report", () => {
  const empty: Summary = { ...summary([]), arms: [] };
  expect(renderReport(empty, [])).toContain("No data.");
  const partial = summary(["a", "b"]);
  partial.arms[1] = { ...partial.arms[1], passAtK: { "1": 0.5 }, intervals: undefined, entropy: Number.NaN };
  const html = renderReport(partial, [
    { arm: "a", update: 1, reward: Number.NaN },
    { arm: "gone", update: 1 },
  ]);
  expect(html).not.toMatch(/NaN|undefined/);
});

test("the terminal table is aligned, and safe for the terminal", () => {
  const text = renderTable([arm("base", 0.4), arm("W-REINFORCE é", 0.5), arm("\u001b[31mred\n", 0.5)]);
  const lines = text.split("\n");
  expect(lines.length).toBe(5);
  expect(lines[0]).toMatch(/^arm +pass@1 +pass@256 +k=1\.\.256 +entropy +updates +train s +rollout s$/);
  const ends = [lines[0].length, ...lines.slice(2).map((line) => [...line].length)];
  expect(new Set(ends).size).toBe(1);
  expect(lines[2]).toContain("40.0");
  expect(lines[4]).toContain("?[31mred?");
  expect(renderTable([arm("base", 0.4)], { ascii: true })).toMatch(/^[\u0020-\u007e\n]+$/);
  expect(renderTable([]).split("\n").length).toBe(2);
});

test("columns and sparklines", () => {
  expect(
    alignColumns([
      ["a", "1"],
      ["bcd", "22"],
    ]),
  ).toBe("a     1\nbcd  22");
  expect(sparkline([0, 0.5, 1, Number.NaN, 2])).toBe(" ▄█?█");
  expect(sparkline([0, 0.5, 1], { ascii: true })).toBe(" =@");
});
