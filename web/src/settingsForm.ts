/** The form of the settings, made from their tables. What cannot be is said beside its control and never leaves it. */

import { armChooser } from "./armChooser.ts";
import { CHOICE_KEYS, type ChoiceKey, choice } from "./controls.ts";
import { byId, element } from "./dom.ts";
import { type FieldHost, numberField } from "./numberField.ts";
import {
  conflictOf,
  type NumberKey,
  PRESET_NAMES,
  presetSettings,
  type Settings,
  TIER_CHOICES,
} from "./settings.ts";
import { hasShippedBase, TASK_NAMES, TASKS } from "./taskChoices.ts";
import { setShortcuts, shortcutsOn } from "./transport.ts";

const MAIN: NumberKey[] = ["seed", "updates", "learningRate", "temperature", "lambda"];
/** Controls in the order in which they stand; choices by their own keys. */
const CONTROLS: (ChoiceKey | NumberKey)[] = [
  "split",
  "splitSize",
  "cut",
  "normaliser",
  "clip",
  "optimizer",
  "form",
  "aggregation",
  "noVariance",
  "epochs",
  "entropyBonus",
  "kl",
  "maxGradNorm",
  "weightDecay",
  "k",
];
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

const isChoice = (key: string): key is ChoiceKey => (CHOICE_KEYS as readonly string[]).includes(key);

export class SettingsForm implements FieldHost {
  /** Always a whole set, each value valid. */
  settings: Settings;
  private readonly changed: () => void;
  private readonly refreshers: (() => void)[] = [];
  private readonly fieldset = byId("settings-main", HTMLFieldSetElement);

  constructor(settings: Settings, changed: () => void) {
    this.settings = settings;
    this.changed = changed;
    byId("settings", HTMLFormElement).addEventListener("submit", (event) => event.preventDefault());
    const preset = presetSettings(settings.preset, settings.task);
    const differs = (key: ChoiceKey | NumberKey): boolean => settings[key] !== preset[key];
    const more = element("details", { id: "more" }, element("summary", {}, "More"));
    for (const [title, keys] of MORE)
      more.append(element("h3", {}, title), ...keys.map((key) => numberField(this, key)));
    more.append(element("h3", {}, "Device"), this.tier(), this.shortcuts());
    this.fieldset.append(
      this.preset(),
      this.task(),
      armChooser(this),
      ...MAIN.map((key) => numberField(this, key)),
      this.conflict(),
      this.controls(),
      more,
    );
    // What a link changes is not to be hidden.
    more.open = settings.tier !== "auto" || MORE.flatMap(([, keys]) => keys).some(differs);
    byId("controls", HTMLDetailsElement).open = CONTROLS.some(differs);
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

  update(change: Partial<Settings>): void {
    this.set({ ...this.settings, ...change });
    this.changed();
  }

  refresh(refresher: () => void): void {
    this.refreshers.push(refresher);
    refresher();
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
      const { task, seed, tier, showRows } = this.settings;
      this.update({ ...presetSettings(select.value, task), seed, tier, showRows });
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

  private task(): HTMLElement {
    const select = element("select", { id: "task", "aria-describedby": "task-note" });
    for (const name of TASK_NAMES) select.append(element("option", { value: name }, TASKS[name].label));
    const note = element("p", { class: "hint", id: "task-note" });
    const steps = numberField(this, "pretrainSteps");
    select.addEventListener("change", () => this.update({ task: select.value }));
    this.refresh(() => {
      select.value = this.settings.task;
      const shipped = hasShippedBase(this.settings);
      steps.hidden = shipped;
      note.hidden = shipped;
      note.textContent = `No base for this ships with the page: it is pretrained here first, ${this.settings.pretrainSteps.toLocaleString("en-US")} steps.`;
    });
    const label = element("label", { for: "task", class: "label" }, "Task");
    return element("div", { class: "field-block" }, label, select, note, steps);
  }

  /** Choices that do not go together, such as a k above the samples of a prompt. */
  private conflict(): HTMLElement {
    const place = element("p", { class: "trouble", id: "conflict", role: "alert", hidden: true });
    this.refresh(() => {
      const conflict = conflictOf(this.settings);
      place.hidden = conflict === null;
      place.textContent = conflict ?? "";
    });
    return place;
  }

  private controls(): HTMLElement {
    const summary = element("summary");
    const fields = CONTROLS.map((key) => (isChoice(key) ? this.choice(key) : numberField(this, key)));
    const size = fields[CONTROLS.indexOf("splitSize")];
    this.refresh(() => {
      const { settings } = this;
      size.hidden = settings.split === "whole";
      const preset = presetSettings(settings.preset, settings.task);
      const changed = CONTROLS.filter((key) => settings[key] !== preset[key]).length;
      summary.textContent = `Controls${changed > 0 ? `, ${changed} changed` : ""}`;
    });
    const hint = element("p", { class: "hint" }, "They change every arm alike.");
    return element("details", { id: "controls" }, summary, hint, ...fields);
  }

  private choice(key: ChoiceKey): HTMLElement {
    const { label, help, options } = choice(key);
    const select = element("select", { id: key, title: help });
    for (const [word, text] of Object.entries(options))
      select.append(element("option", { value: word }, text));
    select.addEventListener("change", () => this.update({ [key]: select.value }));
    this.refresh(() => {
      select.value = this.settings[key];
    });
    return element("div", { class: "field" }, element("label", { for: key, title: help }, label), select);
  }

  private tier(): HTMLElement {
    const select = element("select", {
      id: "tier",
      title:
        "A lower tier uses fewer features; T4 rounds the operands of products; every tier has its own bits.",
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
}
