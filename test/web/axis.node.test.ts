/** The y axis: no air where no value can be, and no two ticks that say the same. */
import { expect, test } from "vitest";
import { formatNumber } from "../../src/eval/svg.ts";
import { padded, tickLabels } from "../../web/src/axis.ts";

const format = (value: number): string => formatNumber(Number(value.toPrecision(3)));

test("a reward of zero stands on the axis", () => {
  expect(padded(0, 0, { yMin: 0 })).toEqual([0, 0.1]);
  expect(padded(0, 0.5, { yMin: 0 })).toEqual([0, 0.54]);
  expect(padded(0.4, 0.6, { yMin: 0 })[0]).toBeCloseTo(0.384);
  expect(padded(0, 0, { yMin: 0, yMax: 1 })).toEqual([0, 1]);
  expect(padded(Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, {})).toEqual([0, 1]);
});

test("labels of ticks are distinct", () => {
  expect(tickLabels([0, 0.5, 1], format)).toEqual(["0", "0.5", "1"]);
  expect(tickLabels([2.7345, 2.735, 2.7355], format)).toEqual(["2.7345", "2.735", "2.7355"]);
  expect(tickLabels([2.312, 2.314, 2.316], format)).toEqual(["2.312", "2.314", "2.316"]);
  expect(tickLabels([0.99985, 0.9999, 0.99995, 1], format)).toEqual(["0.99985", "0.9999", "0.99995", "1"]);
  expect(tickLabels([], format)).toEqual([]);
});
