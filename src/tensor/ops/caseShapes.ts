/** Shapes every elementwise op is tested on: scalar, one, odd, coprime, empty, many ranks, divisible by four. */
export const MAP_SHAPES: readonly (readonly number[])[] = [
  [],
  [1],
  [7],
  [3, 5],
  [0, 3],
  [2, 3, 4],
  [13, 16],
  [1031],
];
