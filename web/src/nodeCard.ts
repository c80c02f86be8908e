/** Shows the command line for Node, its configuration file, and the link to these settings, each to be copied. */
import { copyButton } from "./copyButton.ts";
import { byId, element } from "./dom.ts";
import { writeLink } from "./link.ts";
import { nodeCommand } from "./nodeCommand.ts";
import type { Settings } from "./settings.ts";

function block(title: string, text: string, id: string): HTMLElement[] {
  return [
    element(
      "div",
      { class: "with-button" },
      element("span", { class: "hint" }, title),
      copyButton(() => text, title),
    ),
    element("pre", { id, tabindex: 0 }, text),
  ];
}

/** `tier`: of the device here; `null` without one. `base`: name of an uploaded base. */
export function drawNodeCard(settings: Settings, tier: string | null, base: string | null): void {
  const { line, json } = nodeCommand(settings, tier, base);
  byId("node-command", HTMLElement).replaceChildren(
    ...block("the command", line, "node-line"),
    ...(json === null ? [] : block("run.json", json, "node-json")),
    ...(base === null ? [] : [element("p", { class: "hint" }, `Put ${base} where the command runs.`)]),
    element(
      "div",
      { class: "with-button" },
      element("span", { class: "hint" }, "The address of this page holds the settings."),
      copyButton(() => new URL(writeLink(settings), location.href).href, "the link"),
    ),
  );
}
