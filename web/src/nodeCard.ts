/** Shows the command line for Node, its configuration file, and the link to these settings, each to be copied. */
import { copyButton } from "./copyButton.ts";
import { byId, element } from "./dom.ts";
import { writeLink } from "./link.ts";
import { nodeCommand } from "./nodeCommand.ts";
import { saveFile } from "./saveFile.ts";
import type { Settings } from "./settings.ts";

const CONFIG = "run.json";

function block(title: string, text: string, id: string, ...buttons: HTMLElement[]): HTMLElement[] {
  return [
    element(
      "div",
      { class: "with-button" },
      element("span", { class: "hint" }, title),
      ...buttons,
      copyButton(() => text, title),
    ),
    element("pre", { id, tabindex: 0 }, text),
  ];
}

/** Saves the configuration under the name by which the command reads it. */
function downloadButton(json: string): HTMLButtonElement {
  const label = `Download ${CONFIG}`;
  const button = element("button", { type: "button", class: "small", "aria-label": label }, "Download");
  button.addEventListener("click", () => saveFile(CONFIG, new TextEncoder().encode(`${json}\n`)));
  return button;
}

/** `tier`: of the device here; `null` without one. `base`: name of an uploaded base. */
export function drawNodeCard(settings: Settings, tier: string | null, base: string | null): void {
  const { line, json } = nodeCommand(settings, tier, base);
  byId("node-command", HTMLElement).replaceChildren(
    ...block("the command", line, "node-line"),
    ...(json === null ? [] : block(CONFIG, json, "node-json", downloadButton(json))),
    ...(base === null ? [] : [element("p", { class: "hint" }, `Put ${base} where the command runs.`)]),
    element(
      "div",
      { class: "with-button" },
      element("span", { class: "hint" }, "The address of this page holds the settings."),
      copyButton(() => new URL(writeLink(settings), location.href).href, "the link"),
    ),
  );
}
