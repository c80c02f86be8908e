/**
 * Ways to compute products that are known to be the fastest on adapters that run on the processor: all of their users have the
 * same driver, so one measurement serves them all (bench/NOTES.md). A table of the user's own comes first, and a GPU has no
 * entry here. No way changes a bit.
 */
import type { MatmulProduct } from "./matmulTiles.ts";

/** Rows and columns a thread, by quads; large ones first. */
type Tile = readonly [rows: number, columns: number];

/**
 * By architecture. SwiftShader takes 50 cycles to load a number for each of four lanes, so large tiles earn their spilled
 * registers. lavapipe gains nothing from more than 16 rows, for which its compiler takes 1.3 to 1.4 times as long as for eight.
 */
const TILES: Readonly<Record<string, readonly Tile[]>> = {
  swiftshader: [
    [32, 8],
    [16, 8],
  ],
  software: [[16, 4]],
};

/** Tiles that a product has at least, or its cores would not all have work. */
const LEAST_TILES = 64;

/** The way for a product where an adapter's is known; undefined: the default. */
export function preferredWay(architecture: string, { batches, m, n }: MatmulProduct): string | undefined {
  const fits = (TILES[architecture] ?? []).find(
    ([rows, columns]) =>
      m % rows === 0 && n % columns === 0 && (batches * m * n) / (rows * columns) >= LEAST_TILES,
  );
  return fits && `direct${fits[0]}x${fits[1]}q`;
}
