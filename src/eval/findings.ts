/** What a study found, in sentences that its numbers decide: nothing here is written by hand for one result. */
import type { Interval } from "./bootstrap.ts";
import type { Comparison, StudySummary } from "./studySummary.ts";

/** Points with a sign, of a number in [-1, 1]. */
export function points(value: number, digits = 1): string {
  const text = (Math.abs(value) * 100).toFixed(digits);
  return `${Number(text) === 0 ? "" : value < 0 ? "−" : "+"}${text}`;
}

/** Digits after the point with which an interval that leaves out 0 looks like one: more where a tenth would round to 0. */
function digitsOf(interval: Interval): number {
  if (side(interval) === 0) return 1;
  const nearest = Math.min(Math.abs(interval.low), Math.abs(interval.high)) * 100;
  let digits = 1;
  while (digits < 6 && Number(nearest.toFixed(digits)) === 0) digits++;
  return digits;
}

/** Mean and ends of a difference in points, to as many digits as it takes. */
export function intervalPoints(interval: Interval): string[] {
  const digits = digitsOf(interval);
  return [interval.mean, interval.low, interval.high].map((one) => points(one, digits));
}

/** A difference with its interval. */
export function withInterval(interval: Interval): string {
  const [mean, low, high] = intervalPoints(interval);
  return `${mean} [${low}, ${high}]`;
}

/** Whether an interval leaves out 0, and on which side it lies. */
export function side({ low, high }: Interval): -1 | 0 | 1 {
  if (low > 0) return 1;
  return high < 0 ? -1 : 0;
}

/** The ks of which a text speaks: one, a middle one, the largest. */
export function fewKs(ks: readonly number[]): number[] {
  return [...new Set([ks[0], ks[Math.floor((ks.length - 1) / 2)], ks[ks.length - 1]])];
}

function listed(words: readonly string[]): string {
  if (words.length < 2) return words.join("");
  return `${words.slice(0, -1).join(", ")} and ${words[words.length - 1]}`;
}

/** Runs of neighbouring ks as text: `1 to 8 and 256`. */
function ranges(all: readonly number[], some: readonly number[]): string {
  const parts: string[] = [];
  let from = -1;
  for (let i = 0; i <= all.length; i++) {
    const inside = i < all.length && some.includes(all[i]);
    if (inside && from < 0) from = i;
    if (inside || from < 0) continue;
    parts.push(from === i - 1 ? `${all[from]}` : `${all[from]} to ${all[i - 1]}`);
    from = -1;
  }
  return listed(parts);
}

/** The largest value, and its k. */
function largest(values: readonly number[], ks: readonly number[]): [value: number, k: number] {
  const at = values.reduce((best, value, i) => (value > values[best] ? i : best), 0);
  return [values[at], ks[at]];
}

/** At which k `a` is above `b` and at which below; empty where at none. */
function where({ b, passAtK }: Comparison, ks: readonly number[]): string {
  const above = ks.filter((k) => side(passAtK[k]) > 0);
  const below = ks.filter((k) => side(passAtK[k]) < 0);
  return [
    above.length > 0 ? `above ${b} at k = ${ranges(ks, above)}` : "",
    below.length > 0 ? `below ${above.length > 0 ? "it" : b} at k = ${ranges(ks, below)}` : "",
  ]
    .filter((part) => part !== "")
    .join(" and ");
}

/** Points that a size in [0, 1] does not exceed, to a tenth. */
function atMost(size: number): string {
  return Math.max(0.1, Math.ceil(size * 1000) / 10).toFixed(1);
}

/** What the difference is in the share of a problem's modes. */
function modesOf({ modeCoverage }: Comparison): string {
  if (!modeCoverage) return "";
  const told = ["fewer", "not told from 0", "more"][side(modeCoverage) + 1];
  return ` Modes: ${told} (${withInterval(modeCoverage)} points of coverage).`;
}

/** The few ks, and the widest difference of each side that is told from 0, where it is at none of them. */
function toldKs({ passAtK }: Comparison, ks: readonly number[]): number[] {
  const few = fewKs(ks);
  const more = [1, -1].flatMap((sign) => {
    const told = ks.filter((k) => side(passAtK[k]) === sign);
    if (told.length === 0 || told.some((k) => few.includes(k))) return [];
    const sizes = told.map((k) => Math.abs(passAtK[k].mean));
    return [largest(sizes, told)[1]];
  });
  return [...few, ...more].sort((a, b) => a - b);
}

/** Intervals of fewer seeds say little. */
const FEW_SEEDS = 4;

/** `a` is above, below or not told from `b`, by k. */
function verdict(comparison: Comparison, ks: readonly number[], seeds: number): string {
  const { a, b, passAtK } = comparison;
  const numbers = toldKs(comparison, ks)
    .map((k) => `${withInterval(passAtK[k])} at k = ${k}`)
    .join(", ");
  const found = where(comparison, ks);
  const modes = modesOf(comparison);
  if (found !== "") return `${a} is ${found} (${numbers}).${modes}`;
  const bounds = ks.map((k) => Math.max(Math.abs(passAtK[k].low), Math.abs(passAtK[k].high)));
  const [bound, at] = largest(bounds, ks);
  // Nothing varied, so there is nothing to infer from: all wrong, or the same policy.
  if (bound === 0) return `${a} and ${b} are equal on every problem of every seed.`;
  if (seeds < FEW_SEEDS) return `${a} is not told from ${b} at any k (${numbers}).${modes}`;
  return `${a} is not told from ${b} at any k (${numbers}); a difference above ${atMost(bound)} points is ruled out at every k, the widest interval being that of k = ${at}.${modes}`;
}

function resolution({ pilot, ks }: StudySummary): string {
  if (!pilot) return "";
  const size = (value: number) => (value * 100).toFixed(1);
  const seen = ks.filter((k) => pilot.detectable[k] <= pilot.difference);
  const unseen = ks.filter((k) => !seen.includes(k));
  const [largestUnseen, at] =
    unseen.length > 0
      ? largest(
          unseen.map((k) => pilot.detectable[k]),
          unseen,
        )
      : [0, 0];
  const parts = [
    seen.length > 0 ? `it sees at k = ${ranges(ks, seen)}` : "",
    unseen.length > 0
      ? `it does not see at k = ${ranges(ks, unseen)}, where a null result says little (at k = ${at} it takes ${size(largestUnseen)} points)`
      : "",
  ].filter((part) => part !== "");
  const last = ks[ks.length - 1];
  return `It was meant to see a difference between ${listed(pilot.arms)} of ${size(pilot.difference)} points in four of five cases: by ${pilot.seeds.length} pilot runs with other seeds, ${parts.join(", and ")}; the smallest that it sees at k = ${last} is ${size(pilot.detectable[last])} points.`;
}

function chance({ controls, ks, level }: StudySummary): string {
  const counted = (what: string, shown: readonly Comparison[], looked = ks): string => {
    const count = shown.length * looked.length;
    if (count === 0) return "";
    const clear = shown.reduce(
      (sum, { passAtK }) => sum + looked.filter((k) => side(passAtK[k]) !== 0).length,
      0,
    );
    return `${clear} of ${count} ${what} (about ${(count * (1 - level)).toFixed(0)} would by chance alone)`;
  };
  const all = controls.flatMap(({ comparisons }) => comparisons);
  const parts = [
    counted(
      "between arms",
      all.filter(({ b }) => b !== "base"),
    ),
    counted(
      "of an arm and its base",
      all.filter(({ b }) => b === "base"),
    ),
    counted(
      "between controls",
      controls.flatMap(({ against }) => against),
    ),
    counted(
      "at matched Pass@1",
      controls.flatMap(({ matched: all }) => all),
      ks.filter((k) => k > 1),
    ),
  ].filter((part) => part !== "");
  return `Intervals of differences in Pass@k that leave out 0: ${parts.join("; ")}. Neighbouring k are far from independent, and no correction for looking often is made.`;
}

/** Where no policy solves anything, equal says nothing; nor do intervals of two or three seeds say much. */
function floor({ base, controls, ks, seeds }: StudySummary): string[] {
  const all = [base, ...controls.flatMap(({ arms }) => arms)];
  const empty = ks.filter((k) => all.every(({ passAtK }) => passAtK[k].mean <= 1 - CEILING));
  const still = controls.flatMap(({ name, arms }) =>
    arms.filter(({ updates }) => updates === 0).map((arm) => `${arm.name} under ${name}`),
  );
  return [
    empty.length > 0
      ? `At k = ${ranges(ks, empty)} no policy has a Pass@k above ${((1 - CEILING) * 100).toFixed(1)} %: what is equal there says nothing of the arms.`
      : "",
    still.length > 0 ? `No update was made by ${listed(still)}: nothing was there to learn from.` : "",
    seeds.length < FEW_SEEDS
      ? `With ${seeds.length} seed${seeds.length === 1 ? "" : "s"} an interval may be far too narrow or far too wide: take none of this for settled.`
      : "",
  ];
}

/** Differences of the first control that another control changes. */
function changed({ controls, ks }: StudySummary): string[] {
  if (controls.every(({ against }) => against.length === 0)) return [];
  const first = controls[0].name;
  const found = controls.flatMap(({ name, against }) =>
    against.flatMap(({ a, b, passAtK }) => {
      const some = fewKs(ks).filter((k) => side(passAtK[k]) !== 0);
      const moved = some.map((k) => `${withInterval(passAtK[k])} at k = ${k}`);
      return some.length > 0 ? [`${name} moves ${a} minus ${b} of ${first} by ${listed(moved)}.`] : [];
    }),
  );
  if (found.length > 0) return found;
  const few = listed(fewKs(ks).map(String));
  return [`No control changes a difference of ${first} by an amount that is told from 0 at k = ${few}.`];
}

function matched({ controls, ks }: StudySummary): string[] {
  // At k = 1 they are equal by construction.
  const others = ks.filter((k) => k > 1);
  const count = controls.reduce((sum, { matched: all }) => sum + all.length, 0);
  if (count === 0 || others.length === 0) return [];
  const sentences = controls.flatMap(({ name, matched: all }) =>
    all
      .filter((one) => where(one, others) !== "")
      .map((one) => {
        const [, k] = largest(
          others.map((k) => (side(one.passAtK[k]) === 0 ? 0 : Math.abs(one.passAtK[k].mean))),
          others,
        );
        const most = `${withInterval(one.passAtK[k])} at k = ${k}`;
        return `Under ${name}, at a Pass@1 of ${(one.pass1 * 100).toFixed(1)} %, ${one.a} is ${where(one, others)} (${most}).`;
      }),
  );
  if (sentences.length === 0) return ["No comparison is told from 0 under any control."];
  return sentences.length < count ? [...sentences, "The rest is not told from 0."] : sentences;
}

/** A share so near 1 that nothing beyond it is a difference. */
const CEILING = 0.995;

/** The ks at which every policy solves all: a difference there is none whatever was done. */
function ceiling({ base, controls, ks }: StudySummary): string {
  const all = [base, ...controls.flatMap(({ arms }) => arms)];
  const full = ks.filter((k) => all.every(({ passAtK }) => passAtK[k].mean >= CEILING));
  if (full.length === 0) return "";
  return `At k = ${ranges(ks, full)} every policy, the base among them, has a Pass@k of ${CEILING * 100} % or more: what is equal there says nothing of the arms.`;
}

/** What was found about one thing. */
export interface Finding {
  about: string;
  sentences: string[];
}

/** The first control in full, the focus under the others, what they change, matched Pass@1, how much was looked at. */
export function findings(summary: StudySummary): Finding[] {
  const { controls, ks, focus } = summary;
  return [
    ...controls.map(({ name, comparisons }, i) => {
      const others = comparisons.filter(({ a, b }) => a === focus && b !== "base");
      // With the focus alone there is nothing but the base.
      const told = i > 0 && others.length > 0 ? others : comparisons;
      return { about: `Under ${name}`, sentences: told.map((one) => verdict(one, ks, summary.seeds.length)) };
    }),
    { about: "What the controls change", sentences: changed(summary) },
    { about: "At matched Pass@1", sentences: matched(summary) },
    {
      about: "What the study can see",
      sentences: [ceiling(summary), ...floor(summary), resolution(summary), chance(summary)].filter(
        (text) => text !== "",
      ),
    },
  ].filter(({ sentences }) => sentences.length > 0);
}
