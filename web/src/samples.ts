/**
 * Completions of a rollout: coloured by reward, each token shaded by the push that it got. The list follows the run until
 * a token is chosen; then it holds still, so that nothing moves under whoever looks.
 */
import type { ShownRow } from "../../src/worker/index.ts";
import { drawDistribution } from "./distribution.ts";
import { byId, element } from "./dom.ts";
import type { RunData, ShownRollout } from "./runData.ts";

const LATEST = "latest";

/** A number with its sign, and digits that matter. */
function signed(value: number): string {
  const text = Math.abs(value) >= 0.001 ? value.toFixed(4) : value.toExponential(1);
  return value > 0 ? `+${text}` : text.replace("-", "−");
}

/** `wrongValue` as words. */
function words(reason: string): string {
  return reason.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

export class Samples {
  private readonly data: RunData;
  private readonly list = byId("samples", HTMLUListElement);
  private readonly arm = byId("samples-arm", HTMLSelectElement);
  private readonly follow = byId("samples-follow", HTMLButtonElement);
  private readonly panel = byId("distribution", HTMLElement);
  private held = false;
  private shown: ShownRollout | null = null;
  private options: string | null = null;

  constructor(data: RunData) {
    this.data = data;
    this.follow.addEventListener("click", () => {
      this.release();
      this.draw();
    });
    this.arm.addEventListener("change", () => {
      this.release();
      this.draw();
    });
    this.list.addEventListener("click", (event) => this.choose(event.target));
    this.list.addEventListener("focusin", (event) => this.choose(event.target));
    this.list.addEventListener("keydown", (event) => this.move(event));
    this.draw();
  }

  /** Back to the latest rollout. */
  release(): void {
    this.held = false;
    this.shown = null;
  }

  draw(): void {
    this.drawOptions();
    if (this.held) return;
    const arm = this.arm.value === LATEST ? this.data.latestArm : this.arm.value;
    const rollout = (arm === null ? undefined : this.data.rollouts.get(arm)) ?? null;
    if (rollout !== null && rollout === this.shown) return;
    this.shown = rollout;
    this.follow.hidden = true;
    const of = byId("samples-of", HTMLElement);
    if (rollout === null) {
      of.textContent = "";
      this.list.replaceChildren(
        element("li", { class: "hint" }, "Nothing yet: samples come with the first update of an arm."),
      );
    } else {
      of.textContent = `${rollout.arm}, update ${rollout.step}`;
      const most = Math.max(1e-30, ...rollout.rows.flatMap(({ push }) => push.map(Math.abs)));
      this.list.replaceChildren(...rollout.rows.map((row, i) => sampleItem(row, i, most)));
      this.list.querySelector("button")?.setAttribute("tabindex", "0");
    }
    drawDistribution(this.panel, null);
  }

  private drawOptions(): void {
    const arms = [...this.data.rollouts.keys()];
    if (arms.join() === this.options) return;
    this.options = arms.join();
    const chosen = this.arm.value;
    this.arm.replaceChildren(
      element("option", { value: LATEST }, "latest"),
      ...arms.map((arm) => element("option", { value: arm }, arm)),
    );
    this.arm.value = arms.includes(chosen) ? chosen : LATEST;
  }

  private choose(target: EventTarget | null): void {
    const button = target instanceof Element ? target.closest<HTMLButtonElement>("button[data-token]") : null;
    if (!button || !this.shown || button.getAttribute("aria-pressed") === "true") return;
    for (const old of this.list.querySelectorAll<HTMLButtonElement>("button[tabindex='0']")) {
      old.tabIndex = -1;
      old.setAttribute("aria-pressed", "false");
    }
    button.tabIndex = 0;
    button.setAttribute("aria-pressed", "true");
    this.held = true;
    this.follow.hidden = false;
    const row = this.shown.rows[Number(button.dataset.row)];
    drawDistribution(this.panel, { row, token: Number(button.dataset.token), vocab: this.data.vocab });
  }

  /** Left and right within a completion, up and down between them. */
  private move(event: KeyboardEvent): void {
    const button = event.target as HTMLElement;
    const { row, token } = button.dataset;
    if (row === undefined || token === undefined) return;
    const across = { ArrowLeft: -1, ArrowRight: 1 }[event.key] ?? 0;
    const down = { ArrowUp: -1, ArrowDown: 1 }[event.key] ?? 0;
    if (across === 0 && down === 0) return;
    event.preventDefault();
    const items = this.list.children;
    const other = items[Math.min(Math.max(Number(row) + down, 0), items.length - 1)];
    const buttons = other.querySelectorAll<HTMLButtonElement>("button[data-token]");
    buttons[Math.min(Math.max(Number(token) + across, 0), buttons.length - 1)]?.focus();
  }
}

function sampleItem(row: ShownRow, index: number, most: number): HTMLLIElement {
  const right = row.reward > 0;
  const unused = row.weights.every((w) => w === 0) ? element("span", { class: "unused" }, "unused") : null;
  const prompt = row.prompt.filter((token) => token !== "BOS").join(" ");
  return element(
    "li",
    { class: right ? "sample right" : "sample" },
    element(
      "div",
      { class: "verdict" },
      element("code", {}, prompt),
      element("span", {}, element("b", {}, `${right ? "✓" : "✗"} ${words(row.reason)}`)),
    ),
    element(
      "div",
      { class: "tokens" },
      ...row.completion.map((text, t) => tokenButton(row, text, index, t, most)),
      unused,
    ),
  );
}

function tokenButton(row: ShownRow, text: string, index: number, t: number, most: number): HTMLButtonElement {
  const size = row.before.length / row.tokens.length;
  const at = t * size + row.tokens[t];
  const [before, after] = [row.before[at], row.after[at]].map((p) => `${(p * 100).toFixed(1)} %`);
  const push = row.push[t];
  const way = push > 0 ? "up" : push < 0 ? "down" : null;
  const arrow = way === "up" ? "▴" : "▾";
  const said = way === null ? "not pushed" : `pushed ${way} ${signed(push)}`;
  const button = element(
    "button",
    {
      type: "button",
      tabindex: -1,
      "aria-pressed": "false",
      "aria-label": `${text}, ${said}, probability ${before}, after the update ${after}`,
      title: `push ${way === null ? "0" : signed(push)} · probability ${before} → ${after}`,
      "data-row": index,
      "data-token": t,
    },
    text,
    way === null ? null : element("span", { class: "arrow", "aria-hidden": "true" }, arrow),
  );
  if (way !== null) {
    button.style.setProperty("--push", `var(--${way})`);
    // The root: small pushes are to be seen beside large ones.
    button.style.setProperty("--share", `${Math.round(Math.sqrt(Math.abs(push) / most) * 100)}%`);
  }
  return button;
}
