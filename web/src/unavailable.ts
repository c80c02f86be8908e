/** What the page shows where the engine cannot start: advice for this browser, and the error's own words. */
import { byId, element, setText, withCode } from "./dom.ts";
import { adviceFor } from "./noWebGpu.ts";
import { showAdapter } from "./statusBar.ts";

export function showUnavailable(error: unknown): void {
  const hasApi = (navigator as { gpu?: unknown }).gpu !== undefined;
  const advice = adviceFor({ userAgent: navigator.userAgent, secure: isSecureContext, hasApi });
  const said = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  byId("unavailable-advice", HTMLElement).replaceChildren(
    element(
      "p",
      {},
      "This page trains on the GPU through WebGPU, and could not open it. The settings can still be looked at.",
    ),
    element("ul", {}, ...advice.map((line) => element("li", {}, ...withCode(line)))),
    element("p", { class: "hint" }, "The engine said: ", element("code", {}, said)),
  );
  byId("unavailable", HTMLElement).hidden = false;
  document.body.classList.add("no-engine");
  setText(byId("status", HTMLElement), "Cannot run in this browser; see below.");
  showAdapter(null);
}
