/** The page: names as buttons, one button that goes on, and what came of it. */

import { byId, element } from "./dom.ts";
import { titled } from "./format.ts";
import { NamePolicy, SHOWN } from "./namePolicy.ts";
import { drawChart, showChanges, showJournal } from "./panels.ts";

const list = byId("names");
const next = byId<HTMLButtonElement>("next");
const download = byId<HTMLButtonElement>("download");
const over = byId<HTMLButtonElement>("over");

/** One button for each name; pressed means rejected. */
const cards = Array.from({ length: SHOWN }, (_, i) => {
  const text = element("span", { class: "name" });
  const key = element("kbd", { "aria-hidden": "true" }, String(i + 1));
  const thumb = byId<HTMLTemplateElement>("thumb").content.cloneNode(true);
  const button = element("button", { type: "button", "aria-pressed": "false" }, key, text, thumb);
  button.addEventListener("click", () => toggle(i));
  list.append(element("li", {}, button));
  return { button, text };
});

let policy: NamePolicy | null = null;
let busy = true;

const rejected = (): boolean[] => cards.map(({ button }) => button.getAttribute("aria-pressed") === "true");

function toggle(i: number): void {
  const button = cards[i]?.button;
  if (busy || !button) return;
  button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
  reflect();
}

/** Buttons as they are now. Those that wait keep their focus, so they are not `disabled`. */
function reflect(waiting = "One moment …"): void {
  for (const button of [next, download, over, ...cards.map((card) => card.button)]) {
    button.setAttribute("aria-disabled", String(busy));
  }
  const count = rejected().filter(Boolean).length;
  const ready = count === 0 ? "None. Six more" : `Learn from ${count} ${count === 1 ? "no" : "noes"}`;
  next.textContent = busy ? waiting : ready;
}

/** Runs one thing at a time, and says what went wrong. */
async function act(waiting: string, work: (policy: NamePolicy) => Promise<void>): Promise<void> {
  if (busy || !policy) return;
  busy = true;
  byId("trouble").hidden = true;
  reflect(waiting);
  try {
    await work(policy);
  } catch (error) {
    showTrouble(error);
  } finally {
    busy = false;
    reflect();
  }
}

function showTrouble(error: unknown): void {
  byId("trouble").textContent = error instanceof Error ? error.message : String(error);
  byId("trouble").hidden = false;
}

/** Six names, written as they are drawn. */
async function propose(policy: NamePolicy, said = ""): Promise<void> {
  list.setAttribute("aria-busy", "true");
  for (const { button, text } of cards) {
    button.setAttribute("aria-pressed", "false");
    text.textContent = "";
  }
  await policy.propose(({ row, text }) => {
    const name = cards[row]?.text;
    if (name) name.textContent = titled(name.textContent + text);
  });
  for (const [i, { finished }] of policy.shown.entries()) if (!finished) cards[i]?.text.append("…");
  list.removeAttribute("aria-busy");
  for (const { button, text } of cards) button.setAttribute("aria-label", `Reject ${text.textContent}`);
  const names = cards.map(({ text }) => text.textContent).join(", ");
  byId("status").textContent = `${said}Proposed: ${names}.`;
  showJournal(policy.journal);
}

function goOn(): void {
  const no = rejected();
  const count = no.filter(Boolean).length;
  act(count === 0 ? "Drawing …" : "Learning …", async (policy) => {
    if (count === 0) await policy.turnPage();
    else showChanges(await policy.learn(no));
    await propose(policy, count === 0 ? "" : `Learned from ${count} of 6. `);
  });
}

next.addEventListener("click", goOn);

download.addEventListener("click", () =>
  act("Reading the policy …", async (policy) => {
    const bytes = new Uint8Array(await policy.download());
    const address = URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" }));
    element("a", { href: address, download: "thumbs-down.safetensors" }).click();
    URL.revokeObjectURL(address);
  }),
);

over.addEventListener("click", () => {
  if (busy || !confirm("Forget all rejections and what was learned from them?")) return;
  act("Starting over …", async (policy) => {
    await policy.startOver(newSeed());
    byId("change").hidden = true;
    await propose(policy, "Started over. ");
  });
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const digit = Number(event.key);
  if (digit >= 1 && digit <= SHOWN) toggle(digit - 1);
  // On a button or link Enter already means something.
  else if (event.key === "Enter" && !(event.target as Element).closest("button, a, summary")) goOn();
});

new ResizeObserver(() => drawChart(policy?.journal.points ?? [])).observe(byId("chart"));

/** Every visitor draws other names; `?seed=` gives the same ones again. */
function newSeed(): number {
  const given = new URLSearchParams(location.search).get("seed");
  if (given !== null) return Number(given);
  const [drawn = 1] = crypto.getRandomValues(new Uint32Array(1));
  return drawn;
}

try {
  const response = await fetch("./base.safetensors");
  if (!response.ok) {
    throw new Error(`page: base.safetensors expected, got ${response.status}. Run \`npm run base\`.`);
  }
  policy = await NamePolicy.open(new Uint8Array(await response.arrayBuffer()), newSeed());
  const { adapter, storage, version } = policy.worker.info;
  byId("about").textContent =
    `${policy.parameters.toLocaleString("en")} parameters on ${adapter.description || adapter.vendor || "an unnamed adapter"}${adapter.software ? " (software)" : ""} · naysay ${version} · ` +
    (storage === "persistent"
      ? "kept in this browser's files for this page"
      : "this browser keeps no files for this page: a reload starts over");
  busy = false;
  await act("Drawing …", (policy) => propose(policy));
  if (policy.notice) showTrouble(policy.notice);
} catch (error) {
  showTrouble(error);
  next.textContent = "Not available";
}
