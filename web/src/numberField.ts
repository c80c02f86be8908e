/** A number of the settings as a field: what cannot be is said beside it and never leaves it. */
import { ConfigError } from "../../src/tensor/errors.ts";
import { element } from "./dom.ts";
import { checkSetting, type NumberKey, type Settings, setting } from "./settings.ts";

/** What a field asks of the form. */
export interface FieldHost {
  readonly settings: Settings;
  update(change: Partial<Settings>): void;
  /** Runs now and after every change of the settings. */
  refresh(refresher: () => void): void;
}

/** Positions of a slider with equal factors. */
const LOG_STEPS = 200;

export function numberField(host: FieldHost, key: NumberKey): HTMLElement {
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
      host.update({ [key]: checkSetting(key, value, label) });
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      trouble.textContent = `${error.message} ${host.settings[key]} stays.`;
      trouble.hidden = false;
      input.setAttribute("aria-invalid", "true");
    }
  };
  input.addEventListener("input", () => take(input.value === "" ? Number.NaN : Number(input.value)));
  const field = element("div", { class: "field" }, element("label", { for: key, title: help }, label), input);
  const range = slider ? element("input", { type: "range", "aria-label": `${label}, slider` }) : null;
  if (slider && range) {
    range.max = String(slider.step ? slider.max : LOG_STEPS);
    range.min = String(slider.step ? slider.min : 0);
    range.step = String(slider.step ?? 1);
    range.addEventListener("input", () => take(fromSlider(slider, Number(range.value), kind)));
    field.append(range);
  }
  field.append(trouble);
  host.refresh(() => {
    const value = host.settings[key];
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
