/** Light or dark: the system's wish until the visitor says otherwise. Canvases ask here, the rest is CSS. */
import { byId, element } from "./dom.ts";
import { recall, remember } from "./memory.ts";

const KEY = "theme";
const system = matchMedia("(prefers-color-scheme: dark)");
const listeners: (() => void)[] = [];

export function isDark(): boolean {
  const choice = recall(KEY);
  return choice === null ? system.matches : choice === "dark";
}

/** Calls back when the colours have changed. */
export function onTheme(listener: () => void): void {
  listeners.push(listener);
}

export function toggleTheme(): void {
  const wanted = isDark() ? "light" : "dark";
  remember(KEY, wanted);
  apply();
}

function apply(): void {
  const choice = recall(KEY);
  if (choice === "light" || choice === "dark") document.documentElement.dataset.theme = choice;
  else delete document.documentElement.dataset.theme;
  const other = isDark() ? "light" : "dark";
  const button = byId("theme", HTMLButtonElement);
  button.replaceChildren(
    element("span", { "aria-hidden": "true" }, isDark() ? "☀" : "☾"),
    element("span", { class: "word" }, other === "dark" ? " Dark" : " Light"),
  );
  button.setAttribute("aria-label", `Switch to ${other} colours`);
  button.title = `Switch to ${other} colours (T)`;
  button.setAttribute("aria-keyshortcuts", "t");
  for (const listener of listeners) listener();
}

/** Puts the theme on the page and the button to work. */
export function startTheme(): void {
  byId("theme", HTMLButtonElement).addEventListener("click", toggleTheme);
  system.addEventListener("change", apply);
  apply();
}
