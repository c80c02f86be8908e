/** The guided tour as a panel of five steps: the numbers come from `tour.ts`, the sentences from `tourText.ts`. */
import type { NaysayWorker } from "../../src/worker/index.ts";
import { announce } from "./announcer.ts";
import { distributionTable, entropy, legend, likeliest } from "./distribution.ts";
import { byId, element, setText } from "./dom.ts";
import { dismiss, notifyError } from "./notices.ts";
import { shippedBase } from "./runRequest.ts";
import { type Answer, type Tour, type TourStep, takeTour } from "./tour.ts";
import { type Moved, movedText, pushText } from "./tourText.ts";

/** Emitted beside the page, so that the link works wherever the page is copied. */
const ALGORITHMS_PAGE = new URL("../../docs/algorithms.md", import.meta.url);

interface Step {
  title: string;
  draw(tour: Tour): (Node | string)[];
}

/** Which of the two ways to learn is shown. */
let whole = false;

const STEPS: Step[] = [
  { title: "Two answers", draw: drawAnswers },
  { title: "Before", draw: drawBefore },
  { title: "A penalty: NSR", draw: (tour) => drawStep(tour, "NSR") },
  { title: "A reward: PSR", draw: (tour) => drawStep(tour, "PSR") },
  { title: "Side by side", draw: drawBoth },
];

/** Takes the tour and shows its first step. */
export async function openTour(worker: NaysayWorker): Promise<void> {
  const panel = byId("tour-panel", HTMLElement);
  const begin = byId("tour-begin", HTMLButtonElement);
  begin.disabled = true;
  setText(begin, "Sampling…");
  try {
    dismiss("tour");
    show(panel, await takeTour(worker, await shippedBase()), 0);
    setText(begin, "From the beginning");
  } catch (error) {
    notifyError("tour", error);
    setText(begin, "Take the tour");
  } finally {
    begin.disabled = false;
  }
}

function show(panel: HTMLElement, tour: Tour, at: number): void {
  const { title, draw } = STEPS[at];
  const go = (id: string, text: string, to: number): HTMLButtonElement => {
    const button = element("button", { type: "button", id, disabled: STEPS[to] === undefined }, text);
    button.addEventListener("click", () => {
      show(panel, tour, to);
      // The button that was pressed is a new one, or cannot be pressed any more.
      const same = byId(id, HTMLButtonElement);
      (same.disabled
        ? byId(id === "tour-next" ? "tour-back" : "tour-next", HTMLButtonElement)
        : same
      ).focus();
    });
    return button;
  };
  const next = go("tour-next", "Next", at + 1);
  next.className = "primary";
  panel.replaceChildren(
    element("h3", { id: "tour-step" }, `${at + 1} of ${STEPS.length}: ${title}`),
    ...draw(tour),
    ...(at >= 2 ? [wayChoice(() => show(panel, tour, at))] : []),
    element("div", { class: "transport tour-go" }, go("tour-back", "Back", at - 1), next),
  );
  panel.hidden = false;
  announce(`Step ${at + 1} of ${STEPS.length}: ${title}`);
}

const paragraph = (...parts: (Node | string)[]): HTMLElement => element("p", {}, ...parts);
const hint = (...parts: (Node | string)[]): HTMLElement => element("p", { class: "hint" }, ...parts);
const code = (text: string): HTMLElement => element("code", {}, text);

/** Text of what stands before the fork. */
function contextOf({ problem, fork, vocab }: Tour): string {
  return [problem, ...fork.wrong.tokens.slice(0, fork.at).map((id) => vocab[id])].join(" ");
}

function drawAnswers(tour: Tour): Node[] {
  const { problem, answers, fork } = tour;
  const right = answers.filter((answer) => answer.right).length;
  return [
    paragraph(
      "The problem ",
      code(problem),
      ` was put to the base ${answers.length} times: ${right} answers are right, ${answers.length - right} wrong. Two of them:`,
    ),
    element("ul", { class: "tour-answers" }, answerItem(tour, fork.wrong), answerItem(tour, fork.right)),
    hint(
      `They part at token ${fork.at + 1}. What does it do there to punish the one, and what to reward the other?`,
    ),
  ];
}

function answerItem({ fork, vocab }: Tour, answer: Answer): HTMLElement {
  const said = answer.right
    ? "✓ right"
    : `✗ ${answer.reason.replace(/[A-Z]/g, (x) => ` ${x.toLowerCase()}`)}`;
  return element(
    "li",
    { class: answer.right ? "sample right" : "sample" },
    element("div", { class: "verdict" }, element("b", {}, said)),
    element(
      "div",
      { class: "tokens" },
      ...answer.tokens.map((id, t) =>
        t === fork.at ? element("mark", {}, vocab[id]) : element("span", {}, vocab[id]),
      ),
    ),
  );
}

/** The same tokens in every step. */
function shownIds({ before, nsr, psr }: Tour): number[] {
  const ids = new Set([nsr, psr].flatMap(({ alone, token }) => likeliest(before, alone, token)));
  return [...ids].sort((a, b) => before[b] - before[a] || a - b);
}

function drawBefore(tour: Tour): Node[] {
  const { before, vocab, nsr } = tour;
  return [
    paragraph(
      "After ",
      code(contextOf(tour)),
      " the base draws its next token with these chances, in per cent:",
    ),
    distributionTable({ ids: shownIds(tour), before, vocab, drawn: nsr.token }),
    hint(
      `Entropy ${entropy(before).toFixed(2)} nats. Underlined is the wrong answer's token. Nothing has been learned yet.`,
    ),
  ];
}

function movedOf({ before, vocab }: Tour, step: TourStep): Moved {
  return { before, after: whole ? step.whole : step.alone, token: step.token, vocab };
}

function tableOf(tour: Tour, step: TourStep): HTMLElement {
  const { before, after, token, vocab } = movedOf(tour, step);
  return distributionTable({ ids: shownIds(tour), before, after, vocab, drawn: token });
}

const NAMES = { NSR: "nsr", PSR: "psr" } as const;

/** The sentence of the numbers, and what the push is made of. */
const EQUATIONS = {
  NSR: "In the logits (equation 8) the punished token gets −π(1 − π) and every other token v gets +π π(v): the more a rival had, the more it gets. Shared weights blur this a little.",
  PSR: "In the logits (equation 7) the signs turn: the rewarded token gets +π(1 − π) and every other token v gets −π π(v), whether it leads to right answers or not.",
};

function drawStep(tour: Tour, name: "NSR" | "PSR"): Node[] {
  const step = tour[NAMES[name]];
  const moved = movedOf(tour, step);
  const which =
    name === "NSR"
      ? "One step of NSR on the wrong answer."
      : "Back to the base, bit for bit; then one step of PSR on the right answer.";
  return [
    paragraph(which, " ", element("strong", { class: "tour-says" }, movedText(name, moved))),
    legend(),
    tableOf(tour, step),
    hint(EQUATIONS[name], " The trained loss has the ratio π/π_old and no factor π. ", pushText(moved)),
  ];
}

function drawBoth(tour: Tour): Node[] {
  const column = (name: "NSR" | "PSR"): HTMLElement =>
    element(
      "div",
      {},
      element("h4", {}, name),
      tableOf(tour, tour[NAMES[name]]),
      element("p", { class: "tour-says" }, movedText(name, movedOf(tour, tour[NAMES[name]]))),
    );
  const after = (step: TourStep): string => entropy(movedOf(tour, step).after).toFixed(2);
  return [
    legend(),
    element("div", { class: "tour-both" }, column("NSR"), column("PSR")),
    paragraph(
      `Entropy here: ${entropy(tour.before).toFixed(2)} nats before, ${after(tour.nsr)} after NSR, ${after(tour.psr)} after PSR.`,
    ),
    hint(
      "One step, one position, one problem. What thousands of steps add up to is what the experiment measures. Every algorithm with its equation: ",
      element("a", { href: ALGORITHMS_PAGE.href, target: "_blank", rel: "noopener" }, "docs/algorithms.md"),
      ".",
    ),
  ];
}

/** Whether the whole answer is learned from or only the token at the fork. */
function wayChoice(changed: () => void): HTMLElement {
  const radio = (value: boolean, text: string): HTMLElement => {
    const id = value ? "tour-whole" : "tour-alone";
    const input = element("input", { type: "radio", name: "tour-way", id });
    input.checked = whole === value;
    input.addEventListener("change", () => {
      whole = value;
      changed();
      byId(id, HTMLInputElement).focus();
    });
    return element("label", { class: "check" }, input, text);
  };
  const group = element(
    "fieldset",
    { class: "bare tour-way" },
    element("legend", {}, "Learn from"),
    radio(false, "this token alone"),
    radio(true, "the whole answer, as in training"),
  );
  if (whole) {
    group.append(
      hint(
        "Every token of the answer is pushed through the same weights: what happens here is not this push alone.",
      ),
    );
  }
  return group;
}
