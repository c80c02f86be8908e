/** The form of the settings, made from their table. What cannot be is said beside its control and never leaves it. */

import { armName, experimentConfig } from "../../src/rl/presets.ts";
import { ConfigError } from "../../src/tensor/errors.ts";
import { armKey } from "./armLook.ts";
import { byId, element } from "./dom.ts";
import {
  ARM_WORDS,
  type ArmWord,
  armOf,
  checkSetting,
  type NumberKey,
  PRESET_NAMES,
  presetSettings,
  type Settings,
  setting,
  TIER_CHOICES,
} from "./settings.ts";
import { setShortcuts, shortcutsOn } from "./transport.ts";

const MAIN: NumberKey[] = ["seed", "updates", "learningRate", "temperature", "lambda"];
const MORE: [string, NumberKey[]][] = [
  ["Each update", ["promptsPerStep", "numGenerations"]],
  ["Measuring", ["evalPrompts", "evalSamples", "entropySamples"]],
  ["Keeping and showing", ["checkpointEvery", "showRows"]],
  ["Batches", ["rows", "scoreRows", "microBatchRows"]],
];
const PRESET_WORDS: Record<string, string> = {
  quick: "quick: minutes on a CPU",
  tiny: "tiny: a smoke test",
  gpu: "gpu: long, needs a GPU",
};
const ALGORITHMS = ["psr", "nsr", "w-reinforce", "grpo"] as const;
/** Positions of a slider with equal factors. */
const LOG_STEPS = 200;

export class SettingsForm {
  /** Always a whole and valid set. */
  settings: Settings;
  private readonly changed: () => void;
  private readonly refreshers: (() => void)[] = [];
  private readonly fieldset = byId("settings-main", HTMLFieldSetElement);

  constructor(settings: Settings, changed: () => void) {
    this.settings = settings;
    this.changed = changed;
    byId("settings", HTMLFormElement).addEventListener("submit", (event) => event.preventDefault());
    const more = element("details", { id: "more" }, element("summary", {}, "More"));
    for (const [title, keys] of MORE)
      more.append(element("h3", {}, title), ...keys.map((key) => this.number(key)));
    more.append(element("h3", {}, "Device"), this.tier(), this.shortcuts());
    this.fieldset.append(this.preset(), this.arms(), ...MAIN.map((key) => this.number(key)), more);
    // What a link changes is not to be hidden.
    const preset = presetSettings(settings.preset);
    const changedKeys = MORE.flatMap(([, keys]) => keys).filter((key) => settings[key] !== preset[key]);
    more.open = settings.tier !== "auto" || changedKeys.length > 0;
  }

  /** Shows other settings; `changed` is not called. */
  set(settings: Settings): void {
    this.settings = settings;
    for (const refresh of this.refreshers) refresh();
  }

  /** Locked while a run goes on. */
  lock(locked: boolean): void {
    this.fieldset.disabled = locked;
    byId("settings-locked", HTMLElement).hidden = !locked;
  }

  private update(change: Partial<Settings>): void {
    this.set({ ...this.settings, ...change });
    this.changed();
  }

  private preset(): HTMLElement {
    const select = element("select", { id: "preset" });
    for (const name of PRESET_NAMES)
      select.append(element("option", { value: name }, PRESET_WORDS[name] ?? name));
    const warning = element(
      "p",
      { class: "hint" },
      "This preset pretrains its own base and then trains large batches: hours on a good GPU, and hopeless without one.",
    );
    select.addEventListener("change", () => {
      const { seed, tier, showRows } = this.settings;
      this.update({ ...presetSettings(select.value), seed, tier, showRows });
    });
    this.refresh(() => {
      select.value = this.settings.preset;
      warning.hidden = this.settings.preset !== "gpu";
    });
    return element(
      "div",
      { class: "field-block" },
      element("label", { for: "preset", class: "label" }, "Preset"),
      select,
      warning,
    );
  }

  private arms(): HTMLElement {
    const grid = element("div", { class: "arm-choice" });
    grid.append(
      element("span", { class: "heading" }, "as it is"),
      element("span", { class: "heading" }, "flipped"),
    );
    grid.append(this.arm("base"), element("span"));
    for (const word of ALGORITHMS) grid.append(this.arm(word), this.arm(`${word}-flipped`));
    const title = "Flipped: every sign turned, a control that must unlearn.";
    return element("fieldset", { class: "group", title }, element("legend", {}, "Arms"), grid);
  }

  private arm(word: ArmWord): HTMLElement {
    const box = element("input", { type: "checkbox", id: `arm-${word}` });
    const flipped = word.endsWith("-flipped");
    const config = experimentConfig("quick");
    const name = () => armName(armOf(word, this.settings), config);
    const text = element("span");
    const label = element("label", { class: "check" }, box, armKey(name()), text);
    box.addEventListener("change", () => {
      const arms = ARM_WORDS.filter((one) => (one === word ? box.checked : this.settings.arms.includes(one)));
      // One arm at least: the last one stays.
      if (arms.length === 0) box.checked = true;
      else this.update({ arms });
    });
    this.refresh(() => {
      box.checked = this.settings.arms.includes(word);
      // The column says "flipped" to the eye; a reader needs the whole name.
      if (flipped) box.setAttribute("aria-label", name());
      else text.textContent = name();
    });
    return label;
  }

  private number(key: NumberKey): HTMLElement {
    const { label, help, kind, limits, slider } = setting(key);
    const trouble = element("span", { class: "trouble", id: `${key}-trouble`, role: "alert", hidden: true });
    const input = element("input", {
      type: "number",
      id: key,
      step: kind === "integer" ? 1 : "any",
      min: limits.min,
      max: limits.max,
      title: help,
      "aria-describedby": `${key}-trouble`,
    });
    const take = (value: number): void => {
      try {
        this.update({ [key]: checkSetting(key, value, label) });
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error;
        trouble.textContent = `${error.message} ${this.settings[key]} stays.`;
        trouble.hidden = false;
        input.setAttribute("aria-invalid", "true");
      }
    };
    input.addEventListener("input", () => take(input.value === "" ? Number.NaN : Number(input.value)));
    const field = element(
      "div",
      { class: "field" },
      element("label", { for: key, title: help }, label),
      input,
    );
    const range = slider ? element("input", { type: "range", "aria-label": `${label}, slider` }) : null;
    if (slider && range) {
      range.max = String(slider.step ? slider.max : LOG_STEPS);
      range.min = String(slider.step ? slider.min : 0);
      range.step = String(slider.step ?? 1);
      range.addEventListener("input", () => take(fromSlider(slider, Number(range.value), kind)));
      field.append(range);
    }
    field.append(trouble);
    this.refresh(() => {
      const value = this.settings[key];
      // What is being typed stays as it is typed.
      if (Number(input.value) !== value || input.value === "") input.value = String(value);
      trouble.hidden = true;
      input.removeAttribute("aria-invalid");
      if (slider && range) {
        range.value = String(toSlider(slider, value));
        range.setAttribute("aria-valuetext", String(value));
      }
    });
    return field;
  }

  private tier(): HTMLElement {
    const select = element("select", {
      id: "tier",
      title: "A lower tier uses fewer features; every tier has its own bits.",
    });
    for (const name of TIER_CHOICES)
      select.append(element("option", { value: name }, name === "auto" ? "the adapter's" : name));
    select.addEventListener("change", () => this.update({ tier: select.value as Settings["tier"] }));
    this.refresh(() => {
      select.value = this.settings.tier;
    });
    return element("div", { class: "field" }, element("label", { for: "tier" }, "Tier"), select);
  }

  private shortcuts(): HTMLElement {
    const box = element("input", { type: "checkbox", id: "shortcuts" });
    box.checked = shortcutsOn();
    box.addEventListener("change", () => setShortcuts(box.checked));
    return element("label", { class: "check" }, box, "Keys P, S, X, R, T act");
  }

  private refresh(refresher: () => void): void {
    this.refreshers.push(refresher);
    refresher();
  }
}

type Slider = NonNullable<ReturnType<typeof setting>["slider"]>;

/** The value at a slider's position; with equal factors, two digits of it. */
function fromSlider({ min, max, step }: Slider, position: number, kind: "integer" | "number"): number {
  if (step) return Number(position.toFixed(6));
  const value = min * (max / min) ** (position / LOG_STEPS);
  return kind === "integer" ? Math.round(value) : Number(value.toPrecision(2));
}

function toSlider({ min, max, step }: Slider, value: number): number {
  if (step) return value;
  const inside = Math.min(Math.max(value, min), max);
  return Math.round((LOG_STEPS * Math.log(inside / min)) / Math.log(max / min));
}
