/** Messages to the visitor, above everything: each stays until it is dismissed or its key is used again. */
import { byId, element } from "./dom.ts";

export type NoticeKind = "info" | "warning" | "error";

const shown = new Map<string, HTMLElement>();

/** Shows a message in place of an earlier one of the same key. */
export function notify(kind: NoticeKind, key: string, text: string): void {
  // The same words again are no news, to a screen reader least of all.
  if (shown.get(key)?.querySelector("span")?.textContent === text) return;
  dismiss(key);
  const close = element(
    "button",
    { type: "button", class: "small", "aria-label": "Dismiss this message" },
    "Dismiss",
  );
  const notice = element(
    "div",
    { class: `notice ${kind}`, role: kind === "error" ? "alert" : "status" },
    element("span", {}, text),
    close,
  );
  close.addEventListener("click", () => dismiss(key));
  shown.set(key, notice);
  byId("notices", HTMLElement).append(notice);
}

export function dismiss(key: string): void {
  shown.get(key)?.remove();
  shown.delete(key);
}

/** An error's own words; they say what was expected, what came, and what to do. */
export function notifyError(key: string, error: unknown): void {
  notify("error", key, error instanceof Error ? `${error.name}: ${error.message}` : String(error));
}
