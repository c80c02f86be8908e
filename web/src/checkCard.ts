/** `naysay check` in the page: does naysay compute right on this adapter? The report is there to be copied into an issue. */
import type { NaysayWorker } from "../../src/worker/index.ts";
import { announce } from "./announcer.ts";
import { copyButton } from "./copyButton.ts";
import { byId, element, setText } from "./dom.ts";
import { notifyError } from "./notices.ts";

/** Makes the card live. The check runs in the worker, on devices of its own, beside whatever else goes on. */
export function startCheckCard(worker: NaysayWorker): void {
  const button = byId("check", HTMLButtonElement);
  const progress = byId("check-progress", HTMLElement);
  const place = byId("check-report", HTMLElement);
  let running: AbortController | null = null;
  const label = (text: string): void => setText(button, text);

  button.disabled = false;
  button.addEventListener("click", async () => {
    if (running) {
      running.abort();
      return;
    }
    running = new AbortController();
    label("Stop the check");
    place.replaceChildren();
    setText(progress, "Making kernels…");
    try {
      const { report, text } = await worker.check(
        {},
        {
          signal: running.signal,
          onEvent: ({ tier, name, done, total, failures }) =>
            setText(
              progress,
              `${tier} ${name}: ${done} of ${total}${failures > 0 ? `, ${failures} failures` : ""}`,
            ),
        },
      );
      const verdict = report.failures === 0 ? "Passed." : `${report.failures} failures.`;
      setText(progress, `${verdict} ${Math.round(report.seconds)} s.`);
      announce(`Check of the adapter: ${verdict}`);
      place.replaceChildren(
        element(
          "div",
          { class: "with-button" },
          copyButton(() => text, "the report"),
        ),
        element("pre", { id: "check-text", tabindex: 0 }, text),
      );
    } catch (error) {
      setText(progress, running.signal.aborted ? "Stopped." : "");
      if (!running.signal.aborted) notifyError("check", error);
    } finally {
      running = null;
      label("Check this adapter");
    }
  });
}
