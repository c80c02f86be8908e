/**
 * Settings as a link: `?preset=quick&task=maze&arms=base,nsr&form=pi&seed=3`. Only what differs from the preset is written.
 * Reading trusts nothing: what is unknown, out of range or said twice is left out, with a message, and everything else still counts.
 */
import { ConfigError } from "../../src/tensor/errors.ts";
import { didYouMean } from "../../src/tensor/suggest.ts";
import { list, oneOf } from "../../src/tensor/validate.ts";
import { CHOICE_KEYS, type ChoiceKey, choice } from "./controls.ts";
import {
  ARM_WORDS,
  checkSetting,
  conflictOf,
  NUMBER_KEYS,
  type NumberKey,
  PRESET_NAMES,
  presetSettings,
  type Settings,
  TIER_CHOICES,
} from "./settings.ts";
import { OWN_TASK, TASK_NAMES } from "./taskChoices.ts";

const KEYS: readonly string[] = ["preset", "task", "arms", "tier", ...CHOICE_KEYS, ...NUMBER_KEYS];
const PRESET = "quick";
/** A longer link was not made by this page. */
const LONGEST = 2000;
/** Messages that are shown one by one. */
const MOST_PROBLEMS = 6;

export interface ReadLink {
  settings: Settings;
  /** What was wrong with it, for the visitor. */
  problems: string[];
}

/** Reads the query of an address, with or without its `?`. Never throws. */
export function readLink(text: string): ReadLink {
  const problems: string[] = [];
  const attempt = <T>(read: () => T, fallback: T, remedy: string): T => {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      problems.push(`${error.message} ${remedy}`);
      return fallback;
    }
  };
  const plain = text.replace(/^\?/, "");
  if (plain.length > LONGEST) {
    const problem = `link: at most ${LONGEST} characters expected, got ${plain.length}. The quick preset is shown.`;
    return { settings: presetSettings(PRESET), problems: [problem] };
  }
  const given = new Map<string, string>();
  for (const [key, value] of new URLSearchParams(plain)) {
    if (!KEYS.includes(key)) {
      problems.push(
        `link: ${key.slice(0, 60)}: a known key expected, got an unknown one. ${didYouMean(key, KEYS)}`,
      );
    } else if (given.has(key)) {
      problems.push(`link: ${key}: one value expected, got two. The first is used.`);
    } else given.set(key, value);
  }
  const presetRule = oneOf(...PRESET_NAMES);
  const preset = attempt(
    () => (given.has("preset") ? presetRule(given.get("preset"), "link: preset") : PRESET),
    PRESET,
    `The ${PRESET} preset is used.`,
  );
  const word = <T extends string>(key: string, names: readonly T[], fallback: T, remedy: string): T =>
    given.has(key)
      ? attempt(() => oneOf(...names)(given.get(key), `link: ${key}`), fallback, remedy)
      : fallback;
  const task = word("task", TASK_NAMES, OWN_TASK, `The task ${OWN_TASK} is used.`);
  const settings = presetSettings(preset, task);
  const arms = given.get("arms");
  if (arms !== undefined) {
    const words = attempt(
      () => list(oneOf(...ARM_WORDS), { min: 1, max: ARM_WORDS.length })(arms.split(","), "link: arms"),
      settings.arms,
      "The preset's arms are used.",
    );
    settings.arms = ARM_WORDS.filter((word) => words.includes(word));
  }
  settings.tier = word("tier", TIER_CHOICES, "auto", "The adapter's own tier is used.");
  for (const key of CHOICE_KEYS) {
    const own = settings[key];
    settings[key] = word(key, Object.keys(choice(key).options), own, `"${own}" is used.`);
  }
  for (const key of NUMBER_KEYS) {
    const value = given.get(key);
    if (value === undefined) continue;
    settings[key] = attempt(
      () => checkSetting(key, numberOrText(value), "link"),
      settings[key],
      `${settings[key]} is used.`,
    );
  }
  const conflict = conflictOf(settings);
  if (conflict !== null) problems.push(`link: ${conflict}`);
  if (problems.length > MOST_PROBLEMS) {
    const more = problems.length - MOST_PROBLEMS;
    problems.splice(MOST_PROBLEMS, more, `link: ${more} more of this kind. Check where it came from.`);
  }
  return { settings, problems };
}

/** A decimal number as one; anything else stays the text that it is, for the message. */
function numberOrText(text: string): number | string {
  return /^-?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : text;
}

/** The shortest link to settings. */
export function writeLink(settings: Settings): string {
  const preset = presetSettings(settings.preset, settings.task);
  const parts: string[] = [`preset=${settings.preset}`];
  if (settings.task !== OWN_TASK) parts.push(`task=${settings.task}`);
  if (settings.arms.join() !== preset.arms.join()) parts.push(`arms=${settings.arms.join(",")}`);
  if (settings.tier !== "auto") parts.push(`tier=${settings.tier}`);
  const changed = (key: NumberKey | ChoiceKey) => settings[key] !== preset[key];
  for (const key of [...CHOICE_KEYS, ...NUMBER_KEYS].filter(changed)) parts.push(`${key}=${settings[key]}`);
  return `?${parts.join("&")}`;
}
