/** Where the page begins: settings from the address, then the engine in its worker, then everything else. */
import { connect, type NaysayWorker } from "../../src/worker/index.ts";
import type { App } from "./app.ts";
import { startCheckCard } from "./checkCard.ts";
import { byId } from "./dom.ts";
import { startEngine } from "./engine.ts";
import { readLink, writeLink } from "./link.ts";
import { drawNodeCard } from "./nodeCard.ts";
import { notify, notifyError } from "./notices.ts";
import { part } from "./part.ts";
import { showPresetNote } from "./presetNote.ts";
import { SettingsForm } from "./settingsForm.ts";
import { startTabs } from "./tabs.ts";
import { startTheme } from "./theme.ts";
import { showUnavailable } from "./unavailable.ts";

declare global {
  interface Window {
    /** The connected worker, for the console: `await naysay.runs()`. */
    naysay?: NaysayWorker;
  }
}

/** Some headless browsers name a language that their own `Intl` refuses, and the charts ask it for numbers. */
function useKnownLanguage(): void {
  try {
    new Intl.NumberFormat(navigator.language);
  } catch {
    Object.defineProperty(navigator, "language", { value: "en" });
  }
}

/** The tour comes when it is asked for. */
function startTour(worker: NaysayWorker): void {
  const begin = byId("tour-begin", HTMLButtonElement);
  const tour = part(() => import("./tourView.ts"));
  begin.disabled = false;
  begin.addEventListener("click", async () => {
    try {
      await (await tour()).openTour(worker);
    } catch (error) {
      notifyError("tour", error);
    }
  });
}

useKnownLanguage();
startTheme();
// Beside the results on a wide screen; above them, and folded, on a narrow one.
byId("settings-fold", HTMLDetailsElement).open = matchMedia("(min-width: 821px)").matches;

const { settings, problems } = readLink(location.search);
for (const [i, problem] of problems.entries()) notify("warning", `link ${i}`, problem);

let app: App | null = null;
const form = new SettingsForm(settings, () => {
  history.replaceState(null, "", writeLink(form.settings));
  if (app) return app.settingsChanged();
  drawNodeCard(form.settings, null, null);
  showPresetNote(form.settings);
});
drawNodeCard(settings, null, null);
showPresetNote(settings);

try {
  // The charts come in a file of their own, and only where there is something to draw.
  const [worker, { App }] = await Promise.all([connect(startEngine("naysay")), import("./app.ts")]);
  window.naysay = worker;
  startCheckCard(worker);
  startTour(worker);
  app = new App(worker, form);
  const experiments = app;
  // The benchmark's part of the page comes when its tab is opened.
  const bench = part(() => import("./benchTab.ts"));
  startTabs(async () =>
    (await bench()).openBenchTab(worker, {
      busy: () => experiments.running,
      tier: () => (form.settings.tier === "auto" ? undefined : form.settings.tier),
    }),
  );
  await app.ready();
} catch (error) {
  showUnavailable(error);
}
