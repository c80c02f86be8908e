/** A button that copies a text, and says that it did. */
import { announce } from "./announcer.ts";
import { element } from "./dom.ts";
import { notify } from "./notices.ts";

/** `what` names the text for readers, e.g. `the command`. */
export function copyButton(text: () => string, what: string): HTMLButtonElement {
  const button = element("button", { type: "button", class: "small", "aria-label": `Copy ${what}` }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text());
      button.textContent = "Copied";
      announce(`Copied ${what}.`);
      setTimeout(() => {
        button.textContent = "Copy";
      }, 1500);
    } catch {
      notify("warning", "copy", `The browser did not let this page copy. Here it is: ${text()}`);
    }
  });
  return button;
}
