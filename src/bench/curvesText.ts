/** Cost curves as Markdown. */

import { CLIFF, type Curve, worstPoint } from "./curves.ts";
import { number, wobble } from "./format.ts";

const signed = (share: number): string => `${share < 0 ? "-" : "+"}${Math.abs(100 * share).toFixed(0)} %`;

function where(curve: Curve, x: number): string {
  return `${curve.work}, ${curve.over} ${x}`;
}

/** One curve: what was fixed, the line, a row for each size. */
export function curveLines(curve: Curve): string[] {
  const { work, over, base, line, points } = curve;
  const fixed = Object.entries(base)
    .map(([name, value]) => `${name} ${value}`)
    .join(", ");
  const rate = line.b > 0 ? `${number(1e-6 / line.b).trim()} GFLOP/s` : "no rate";
  return [
    `## ${work} over ${over}`,
    "",
    `Else ${fixed}. time = ${number(line.a).trim()} ms + flops at ${rate}.`,
    "",
    `| ${over} | MFLOP | lower quartile ms | median ms | ± | by the line | off by |`,
    "| --- | --- | --- | --- | --- | --- | --- |",
    ...points.map(({ x, flops, wall, fitted, residual }) => {
      const half = `${(100 * (wobble(wall) ?? 0)).toFixed(0)} %`;
      const text = (value: number): string => number(value).trim();
      const cells = [x, text(flops / 1e6), text(wall.low), text(wall.ms), half, text(fitted)];
      return `| ${cells.join(" | ")} | ${signed(residual)}${residual > CLIFF ? " **cliff**" : ""} |`;
    }),
    "",
  ];
}

/** Whether any size is slow for another reason than its operations, and the slowest by its line. */
export function verdict(curves: readonly Curve[]): string {
  const worst = worstPoint(curves);
  if (worst === null) return "Nothing was measured.";
  const cliffs = curves.flatMap((curve) =>
    curve.points.filter(({ residual }) => residual > CLIFF).map(({ x }) => where(curve, x)),
  );
  const furthest = `Furthest above its line: ${where(worst.curve, worst.point.x)}, ${signed(worst.point.residual)}.`;
  const found = cliffs.length === 0 ? "No cliff" : `${cliffs.length} cliffs (${cliffs.join("; ")})`;
  return `${found}: a cliff is a size more than ${100 * CLIFF} % above its line. ${furthest}`;
}
