/** A question with two answers, in the page's own dialog: focus stays in it, Escape says no. */
import { byId } from "./dom.ts";

/** Resolves to whether the visitor agreed. */
export function confirmed(question: string, yes: string): Promise<boolean> {
  const dialog = byId("confirm", HTMLDialogElement);
  byId("confirm-text", HTMLElement).textContent = question;
  byId("confirm-yes", HTMLButtonElement).textContent = yes;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}
