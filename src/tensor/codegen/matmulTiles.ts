/**
 * The ways to compute a matrix product, and which of them is taken. Every output of each is one sum over k in order, each
 * product added by fma(): so the choice changes no bit, and may follow what an adapter does fastest (tuning.ts). The ways that
 * split k have other bits: only a table of the level `fast` names them.
 */
import type { Determinism } from "../determinism.ts";
import type { Lanes, QuadRead } from "./lanes.ts";

/** Sizes of a product a[B..., M, K] @ b[B..., K, N]. */
export interface MatmulSizes {
  readonly batch: readonly number[];
  readonly batches: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

/** A product as a tuner repeats it. */
export interface MatmulProduct extends MatmulSizes {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

/** A tile of rows and columns a thread, straight from memory. */
export interface DirectTiling {
  readonly kind: "direct";
  /** Rows: 1 to 8, or 16. */
  readonly tileM: number;
  /** Columns: vectors of four, or one. */
  readonly tileN: 1 | 4 | 8;
  /** The threads of a quad have the same rows: each loads a quarter where it can read the others by `quad`. */
  readonly sameRows: boolean;
  readonly quad: QuadRead | null;
}

/** A block of rows and columns a workgroup, through workgroup memory. */
export interface SharedTiling {
  readonly kind: "shared";
  /** Rows and columns of a block; 64 threads compute an eighth of either each. */
  readonly block: 32 | 64;
  /** Steps along k that stand in workgroup memory at a time. */
  readonly stepK: 8 | 16;
}

/** A tile for several threads of a workgroup, which share the steps along k: matmulSplit.ts. */
export interface SplitTiling {
  readonly kind: "split";
  /** Rows: 1 to 8. */
  readonly tileM: number;
  /** Columns: a vector of four, or one. */
  readonly tileN: 1 | 4;
  /** Threads a tile. */
  readonly parts: 4 | 16 | 64;
}

export type Tiling = DirectTiling | SharedTiling | SplitTiling;

/**
 * Without quads, products of at least this many multiply-adds take the large tile. It halves the loads, and costs several
 * times the compilation (bench/NOTES.md); small products would not earn that back.
 */
const LARGE_TILE_WORK = 2e6;
/** ... and have this many tiles at least, so that several cores share them. */
const LARGE_TILE_UNITS = 256;

/** Threads that hand each other their part of a: consecutive, and in a subgroup of any size. */
export const QUAD = 4;

/** 0 to n - 1: what texts are unrolled over. */
export const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/**
 * Rows a tile where a thread takes `most`: few rows are cut evenly, so that none are computed in vain (6 at once, 12 in two
 * tiles of 6); of many only the last tile is not full. Rows that are read by four stay in fours.
 */
function rowsOf({ m, transposeA }: MatmulProduct, most: 4 | 8): number {
  if (m === 0 || m % most === 0) return most;
  if (transposeA && m % 4 === 0) return m > most ? most : 4;
  return m >= 4 * most ? most : Math.ceil(m / Math.ceil(m / most));
}

/** Whether the threads of a quad find work side by side: where few are left over. */
function fillsQuads(across: number): boolean {
  return QUAD * Math.ceil(across / QUAD) <= 1.25 * across;
}

/** What is taken where nothing was measured: small texts, which compile fast. */
function defaultTiling(product: MatmulProduct, { quad }: Lanes): Tiling {
  const { batches, m, n, k } = product;
  const columns = n % 4 === 0 || n > 4 ? 4 : 1;
  if (quad && m > 1 && columns === 4 && fillsQuads(Math.ceil(n / 4))) {
    return { kind: "direct", tileM: rowsOf(product, 8), tileN: columns, sameRows: true, quad };
  }
  const outputs = batches * m * n;
  const large = outputs * k >= LARGE_TILE_WORK && outputs / 64 >= LARGE_TILE_UNITS;
  return {
    kind: "direct",
    tileM: rowsOf(product, large && m >= 8 ? 8 : 4),
    tileN: large && n % 8 === 0 ? 8 : columns,
    sameRows: false,
    quad: null,
  };
}

/** A way by name, and the tiling it takes for a product; null where it does not fit sizes or tier. */
interface Variant {
  readonly name: string;
  /** Sums k in another order: other bits than the default's. */
  readonly splits?: true;
  /** Whether it may be the fastest, where it fits; without this it may. */
  worth?(product: MatmulProduct): boolean;
  tiling(product: MatmulProduct, lanes: Lanes): Tiling | null;
}

const direct = (tileM: 4 | 8 | 16, tileN: 4 | 8, shares: boolean): Variant => ({
  name: `direct${tileM}x${tileN}${shares ? "q" : ""}`,
  tiling: ({ m, n }, { quad }) => {
    if (m < tileM || n < tileN || (n % 4 === 0 && n % tileN !== 0)) return null;
    if (!shares) return { kind: "direct", tileM, tileN, sameRows: false, quad: null };
    return quad && fillsQuads(Math.ceil(n / tileN))
      ? { kind: "direct", tileM, tileN, sameRows: true, quad }
      : null;
  },
});

const shared = (block: 32 | 64, stepK: 8 | 16): Variant => ({
  name: `shared${block}x${stepK}`,
  tiling: ({ m, n, k }) =>
    m % block === 0 && n % block === 0 && k % stepK === 0 && k > 0 ? { kind: "shared", block, stepK } : null,
});

/** Tiles that keep every thread of any GPU busy: with as many, nothing is gained by sharing one. */
const FULL = 1 << 18;

const split = (most: 4 | 8, parts: 4 | 16 | 64): Variant => {
  const tiling = (product: MatmulProduct): SplitTiling | null => {
    const { m, n } = product;
    // Few rows are the smaller tile's.
    if (m === 0 || n === 0 || (most === 8 && m <= 4)) return null;
    return { kind: "split", tileM: rowsOf(product, most), tileN: n >= 4 ? 4 : 1, parts };
  };
  return {
    name: `split${most}x4p${parts}`,
    splits: true,
    tiling,
    worth: (product) => {
      const { batches, m, n, k } = product;
      const { tileM, tileN } = tiling(product) as SplitTiling;
      const tiles = batches * Math.ceil(m / tileM) * Math.ceil(n / tileN);
      return tiles < FULL && k >= 4 * parts;
    },
  };
};

/** What a tuner tries. */
const VARIANTS: readonly Variant[] = [
  direct(4, 4, false),
  direct(8, 4, false),
  direct(8, 8, false),
  direct(4, 4, true),
  direct(8, 4, true),
  direct(16, 4, true),
  direct(8, 8, true),
  direct(16, 8, true),
  shared(32, 16),
  shared(64, 8),
  shared(64, 16),
  split(4, 4),
  split(8, 4),
  split(4, 16),
  split(8, 16),
  split(4, 64),
];

/** Names of the ways worth trying for a product at a tier and a level of determinism. */
export function matmulVariants(
  product: MatmulProduct,
  lanes: Lanes,
  determinism: Determinism = "repeatable",
): string[] {
  const admitted = VARIANTS.filter((v) => determinism === "fast" || !v.splits);
  const fits = admitted.filter((v) => v.tiling(product, lanes) !== null && v.worth?.(product) !== false);
  return fits.map((v) => v.name);
}

/** Whether a way has other bits than the default. */
export function isSplitVariant(name: string): boolean {
  return VARIANTS.some((v) => v.name === name && v.splits);
}

/** What a class is entered with where no way was faster than what is taken anyway. */
export const DEFAULT_VARIANT = "default";

export function isMatmulVariant(name: string): boolean {
  return name === DEFAULT_VARIANT || VARIANTS.some((v) => v.name === name);
}

/** The tiling by a variant's name; the default where there is none, or where it does not fit. */
export function tilingOf(product: MatmulProduct, lanes: Lanes, variant: string | undefined): Tiling {
  const chosen = variant && VARIANTS.find((v) => v.name === variant)?.tiling(product, lanes);
  return chosen || defaultTiling(product, lanes);
}

/** The power of two that is nearest by ratio. */
function bucket(size: number): number {
  let power = 1;
  while (2 * power * power <= size * size) power *= 2;
  return power;
}

/**
 * The shape class of a product, in which one choice holds: which operands are transposed, sizes to the nearest power of two,
 * and what divides them.
 */
export function matmulClass({ batches, m, n, k, transposeA, transposeB }: MatmulProduct): string {
  const factor = (size: number): number => [64, 32, 16, 8, 4, 2].find((f) => size % f === 0) ?? 1;
  const letter = (transposed: boolean): string => (transposed ? "t" : "n");
  const part = (name: string, size: number): string => `${name}${bucket(size)}/${factor(size)}`;
  return `matmul ${letter(transposeA)}${letter(transposeB)} b${bucket(batches)} ${part("m", m)} ${part("n", n)} ${part("k", k)}`;
}
