/**
 * The ways to compute a matrix product, and which of them is taken. Every output of each is one sum over k in order, each
 * product added by fma(): so the choice changes no bit, and may follow what an adapter does fastest (tuning.ts). The ways that
 * split k have other bits: only a table of the level `fast` names them. At T4 there are two kinds of product, by n and k: those
 * computed by subgroup matrices have bits of their own, the same by all their ways.
 */

import type { QuadRead } from "../../shaders/quads.ts";
import type { Determinism } from "../determinism.ts";
import { CORE_LIMITS, type MatrixConfig, RAISED_LIMITS } from "../tiers.ts";
import type { Lanes } from "./lanes.ts";

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
  /** Rows: 1 to 8, 16 or 32. */
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

/** A block a workgroup, by the matrices of its subgroups (T4). */
export interface MatrixTiling {
  readonly kind: "matrix";
  readonly name: string;
  readonly config: MatrixConfig;
  /** Rows and columns of a block, and steps along k that stand in workgroup memory at a time. */
  readonly rows: number;
  readonly columns: number;
  readonly stepK: number;
  /** Subgroups that share a block, how many of them side by side, and what each has of it. */
  readonly subgroups: number;
  readonly across: number;
  readonly ownRows: number;
  readonly ownColumns: number;
  readonly threads: number;
  /** Matrices side by side whose results are stored together, so that every lane has four; and how many fours it has. */
  readonly strip: number;
  readonly perLane: number;
}

export type Tiling = DirectTiling | SharedTiling | SplitTiling | MatrixTiling;

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
function defaultTiling(product: MatmulProduct, lanes: Lanes): Tiling {
  if (takesMatrices(product, lanes)) return defaultMatrixTiling(product, lanes.matrix as MatrixConfig);
  const { batches, m, n, k } = product;
  const { quad } = lanes;
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

/** Columns and steps along k from which on products are computed by matrices; fewer would fill no block. */
const LEAST_FOR_MATRICES = 32;

/**
 * Whether a product is computed by matrices: by n and k, never by m or batch, so that the bits of a row do not depend on how many
 * others there are.
 */
export function takesMatrices({ n, k }: MatmulProduct, { matrix }: Lanes): boolean {
  if (matrix === null || Math.min(n, k) < LEAST_FOR_MATRICES) return false;
  return MATRIX_BLOCKS.some((block) => matrixTiling(block, matrix) !== null);
}

interface MatrixBlock {
  readonly rows: number;
  readonly columns: number;
  readonly stepK: number;
  /** Subgroups down and across where a workgroup may have that many. */
  readonly down: number;
  readonly across: number;
}

/** For few rows, for what has to be spread over a GPU, and for large products: the larger the block, the fewer the loads. */
const MATRIX_BLOCKS: readonly MatrixBlock[] = [
  { rows: 16, columns: 64, stepK: 32, down: 1, across: 4 },
  { rows: 64, columns: 64, stepK: 32, down: 2, across: 2 },
  { rows: 128, columns: 64, stepK: 32, down: 4, across: 2 },
  { rows: 128, columns: 128, stepK: 32, down: 2, across: 4 },
];

/** Threads of a workgroup at most: T0's limit, which T1 does not raise. And bytes of its memory, which T1 does. */
const MOST_THREADS = CORE_LIMITS.maxComputeInvocationsPerWorkgroup;
const MOST_BYTES = RAISED_LIMITS.maxComputeWorkgroupStorageSize;
/** Blocks of 128 by 128 that a product has to have: about one for each core of a large GPU. */
const LARGE_BLOCKS = 128;

const blockName = ({ rows, columns }: MatrixBlock): string => `matrix${rows}x${columns}`;

/** The block of a way by its name. */
export function matrixBlock(way: string): MatrixBlock {
  return MATRIX_BLOCKS.find((block) => blockName(block) === way) as MatrixBlock;
}

function matrixTiling(block: MatrixBlock, config: MatrixConfig): MatrixTiling | null {
  const { m, n, k, lanes } = config;
  const { rows, columns, stepK } = block;
  let { down, across } = block;
  while (lanes * down * across > MOST_THREADS && down * across > 1) {
    if (across >= down) across /= 2;
    else down /= 2;
  }
  const subgroups = down * across;
  const strip = Math.max(1, (4 * lanes) / (m * n));
  const [ownRows, ownColumns] = [rows / down, columns / across];
  // Both operands in f16 with eight more a line, and the results of a strip.
  const bytes = 2 * (rows + columns) * (stepK + 8) + 4 * subgroups * m * n * strip;
  const fits =
    lanes * subgroups <= MOST_THREADS &&
    bytes <= MOST_BYTES &&
    [m, n, k].every((size) => size % 4 === 0) &&
    (m * n * strip) % (4 * lanes) === 0 &&
    ownRows % m === 0 &&
    ownColumns % (n * strip) === 0 &&
    stepK % k === 0;
  if (!fits) return null;
  const threads = lanes * subgroups;
  const perLane = (m * n * strip) / (4 * lanes);
  const name = blockName(block);
  const shape = { rows, columns, stepK, subgroups, across, ownRows, ownColumns, threads, strip, perLane };
  return { kind: "matrix", name, config, ...shape };
}

function defaultMatrixTiling({ batches, m, n }: MatmulProduct, config: MatrixConfig): MatrixTiling {
  const large = batches * Math.ceil(m / 128) * Math.ceil(n / 128) >= LARGE_BLOCKS && Math.min(m, n) > 64;
  const wanted = large ? "matrix128x128" : m <= 16 ? "matrix16x64" : "matrix64x64";
  const fitting = MATRIX_BLOCKS.map((block) => matrixTiling(block, config)).filter((t) => t !== null);
  return fitting.find((t) => t.name === wanted) ?? fitting[0];
}

/** A way by name, and the tiling it takes for a product; null where it does not fit sizes or tier. */
interface Variant {
  readonly name: string;
  /** Sums k in another order: other bits than the default's. */
  readonly splits?: true;
  /** Whether it may be the fastest, where it fits; without this it may. */
  worth?(product: MatmulProduct): boolean;
  /** By matrices, which products take that others do not, and those take no other. */
  readonly byMatrices?: boolean;
  tiling(product: MatmulProduct, lanes: Lanes): Tiling | null;
}

const direct = (tileM: 4 | 8 | 16 | 32, tileN: 4 | 8, shares: boolean): Variant => ({
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

const byMatrices = (block: MatrixBlock): Variant => ({
  name: blockName(block),
  byMatrices: true,
  tiling: ({ m }, { matrix }) =>
    matrix === null || (m <= block.rows / 2 && block !== MATRIX_BLOCKS[0])
      ? null
      : matrixTiling(block, matrix),
});

/** A variant's tiling where it fits, and where its bits are those of the product's other ways. */
function fitted(v: Variant, product: MatmulProduct, lanes: Lanes): Tiling | null {
  return takesMatrices(product, lanes) === (v.byMatrices ?? false) ? v.tiling(product, lanes) : null;
}

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
  direct(32, 8, true),
  shared(32, 16),
  shared(64, 8),
  shared(64, 16),
  split(4, 4),
  split(8, 4),
  split(4, 16),
  split(8, 16),
  split(4, 64),
  ...MATRIX_BLOCKS.map(byMatrices),
];

/** Names of the ways worth trying for a product at a tier and a level of determinism. */
export function matmulVariants(
  product: MatmulProduct,
  lanes: Lanes,
  determinism: Determinism = "repeatable",
): string[] {
  const admitted = VARIANTS.filter((v) => determinism === "fast" || !v.splits);
  const fits = admitted.filter((v) => fitted(v, product, lanes) !== null && v.worth?.(product) !== false);
  return fits.map((v) => v.name);
}

/** Whether a way has other bits than the default. */
export function isSplitVariant(name: string): boolean {
  return VARIANTS.some((v) => v.name === name && v.splits);
}

/** What a class is entered with where no way was faster than what sizes and tier give. */
export const DEFAULT_VARIANT = "default";

export function isMatmulVariant(name: string): boolean {
  return name === DEFAULT_VARIANT || VARIANTS.some((v) => v.name === name);
}

/** The tiling by a variant's name; the default where there is none, or where it does not fit. */
export function tilingOf(product: MatmulProduct, lanes: Lanes, variant: string | undefined): Tiling {
  const chosen = VARIANTS.find((v) => v.name === variant);
  return (chosen && fitted(chosen, product, lanes)) ?? defaultTiling(product, lanes);
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
