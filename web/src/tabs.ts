/** The tabs: what one chooses is shown, the rest hidden. The address's `#bench` opens the second. */
import { byId, setAttribute } from "./dom.ts";
import { dismiss, notify } from "./notices.ts";

const TABS = ["experiment", "bench"] as const;
type Tab = (typeof TABS)[number];

const fromAddress = (): Tab => (location.hash === "#bench" ? "bench" : "experiment");

/** Makes the tabs live; `openBench` is called when its tab is shown, until it succeeds once. */
export function startTabs(openBench: () => Promise<void>): void {
  let opened = false;
  const button = (tab: Tab): HTMLButtonElement => byId(`tab-${tab}`, HTMLButtonElement);
  const show = (chosen: Tab): void => {
    for (const tab of TABS) {
      setAttribute(button(tab), "aria-selected", String(tab === chosen));
      // One stop of the Tab key; arrows go from tab to tab.
      button(tab).tabIndex = tab === chosen ? 0 : -1;
      byId(`panel-${tab}`, HTMLElement).hidden = tab !== chosen;
    }
    if (chosen !== "bench" || opened) return;
    opened = true;
    openBench().then(
      () => dismiss("bench tab"),
      (error) => {
        opened = false;
        const got = error instanceof Error ? error.message : String(error);
        const remedy = "Press the tab Bench again, or load the page anew.";
        notify("error", "bench tab", `The tab Bench: its part of the page expected, got "${got}". ${remedy}`);
      },
    );
  };
  const choose = (tab: Tab): void => {
    const hash = tab === "bench" ? "#bench" : "";
    history.replaceState(null, "", `${location.pathname}${location.search}${hash}`);
    show(tab);
  };
  for (const [i, tab] of TABS.entries()) {
    button(tab).addEventListener("click", () => choose(tab));
    button(tab).addEventListener("keydown", ({ key }) => {
      if (key !== "ArrowLeft" && key !== "ArrowRight") return;
      const next = TABS[(i + (key === "ArrowRight" ? 1 : TABS.length - 1)) % TABS.length];
      choose(next);
      button(next).focus();
    });
  }
  addEventListener("hashchange", () => show(fromAddress()));
  show(fromAddress());
}
