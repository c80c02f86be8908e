/**
 * Colours and dashes of arms, in their order, for every chart of the project and for an app that draws its own.
 * Source: Okabe and Ito 2008, Color Universal Design, darkened for text on white; the second value is for dark pages.
 */
export const COLOURS: readonly (readonly [light: string, dark: string])[] = [
  ["#5b6470", "#a9b4c2"],
  ["#0072b2", "#56b4e9"],
  ["#c44e00", "#ff8c42"],
  ["#007a5a", "#2ccb9b"],
  ["#a8487f", "#e88fc0"],
  ["#8a6d00", "#e6c229"],
  ["#4b3fa8", "#a79bff"],
  ["#7a4a2b", "#d3a27f"],
];

/** Of the same arms, as in SVG's `stroke-dasharray`. */
export const DASHES: readonly string[] = ["6 4", "none", "none", "8 3", "2 3", "none", "6 2 2 2", "4 4"];
