/** What the page shows of a journal: tables, words, tiles. Numbers stand in `<data>` elements with their full value. */
import { chart } from "./chart.ts";
import { byId, element } from "./dom.ts";
import { asMany, factor, oneIn, percent, titled } from "./format.ts";
import { type Journal, type Signs, total } from "./journal.ts";
import { type Change, SHOWN } from "./namePolicy.ts";

function number(logProb: number, text: string): HTMLElement {
  return element("td", { class: "number" }, element("data", { value: String(logProb) }, text));
}

function changeCell(before: number, after: number): HTMLElement {
  const text = factor(before, after);
  const way = text === "× 1.00" ? "" : after < before ? "down" : "up";
  return element("td", { class: `number ${way}` }, text);
}

/** The six names of the last update, rejected or let be. */
export function showChanges(changes: readonly Change[]): void {
  const sums = [true, false].map((rejected) => {
    const part = changes.filter((change) => change.rejected === rejected);
    return { before: total(part.map((c) => c.before)), after: total(part.map((c) => c.after)) };
  });
  const words = sums.map(({ before, after }) => `${percent(before)} to ${percent(after)}`);
  byId("change-words").textContent =
    `The names you rejected went from ${words[0]} of all that it would write` +
    (changes.every((change) => change.rejected) ? "." : `, those you let be from ${words[1]}.`);
  byId("change-rows").replaceChildren(
    ...changes.map(({ name, rejected, before, after }) =>
      element(
        "tr",
        { class: rejected ? "rejected" : undefined },
        element(
          "th",
          { scope: "row" },
          element("span", {}, titled(name)),
          element("small", {}, rejected ? "rejected" : "let be"),
        ),
        number(before, oneIn(Math.exp(before))),
        number(after, oneIn(Math.exp(after))),
        changeCell(before, after),
      ),
    ),
  );
  byId("change").hidden = false;
}

/** Everything that follows from the journal alone. */
export function showJournal({ points, rejected, signs }: Journal): void {
  const thumbs = points.reduce((sum, point) => sum + point.thumbs, 0);
  byId("count").textContent = String(thumbs);
  byId("count-words").textContent =
    `${thumbs === 1 ? "rejection" : "rejections"} in ${points.length} ${points.length === 1 ? "update" : "updates"}`;
  byId("sofar").hidden = points.length === 0;
  const last = points.at(-1);
  if (last) {
    byId("chart-words").textContent =
      `You rejected ${rejected.length} different ${rejected.length === 1 ? "name" : "names"}. ` +
      `At the start ${oneIn(last.atStart)} draws would have been one of them; now it is ${oneIn(last.now)}.`;
    byId("rejected-rows").replaceChildren(
      ...rejected
        .toReversed()
        .map(({ name, atStart, now }) =>
          element(
            "tr",
            {},
            element("th", { scope: "row" }, titled(name)),
            number(atStart, oneIn(Math.exp(atStart))),
            number(now, oneIn(Math.exp(now))),
            changeCell(atStart, now),
          ),
        ),
    );
    drawChart(points);
  }
  if (signs.atStart && signs.now) showSigns(signs.atStart, signs.now);
}

export function drawChart(points: Journal["points"]): void {
  const holder = byId("chart");
  if (points.length > 0 && holder.clientWidth > 0)
    holder.replaceChildren(chart(points, holder.clientWidth, SHOWN));
}

function showSigns(start: Signs, now: Signs): void {
  byId("drawn").textContent = String(now.drawn);
  const of = (count: number): string => `${count} of ${now.drawn}`;
  byId("tiles").replaceChildren(
    tile("different names", now.distinct, of(now.distinct), of(start.distinct)),
    tile("read like a name", now.likeNames, of(now.likeNames), of(start.likeNames)),
    tile("variety, in equally likely names", now.entropy, asMany(now.entropy), asMany(start.entropy)),
  );
  byId("signs").hidden = false;
}

function tile(what: string, value: number, text: string, atStart: string): HTMLElement {
  return element(
    "div",
    {},
    element("dt", {}, what),
    element("dd", {}, element("data", { value: String(value) }, text)),
    element("dd", { class: "before" }, `${atStart} at the start`),
  );
}
