/** Arguments and results as trees: tensors in nested arrays and plain objects. */
import { isTensor, type Tensor } from "./tensor.ts";

export type Tree<T = Tensor> = T | readonly Tree<T>[] | { readonly [key: string]: Tree<T> };

/** Whether `x` is an object made with {}, or without a prototype: no class, no array, no view of memory. */
export function isPlain(x: unknown): x is Record<string, unknown> {
  if (x === null || typeof x !== "object" || ArrayBuffer.isView(x)) return false;
  const proto = Object.getPrototypeOf(x);
  return proto === Object.prototype || proto === null;
}

/** Replaces the leaves, keeping the shape of the tree; `path` names where a leaf stands. */
export function mapTree(tree: unknown, f: (leaf: unknown, path: string) => unknown, path = ""): unknown {
  if (Array.isArray(tree)) return tree.map((x, i) => mapTree(x, f, `${path}[${i}]`));
  if (!isTensor(tree) && isPlain(tree) && !("scalar" in tree && "dtype" in tree)) {
    const out: Record<string, unknown> = {};
    for (const key of Object.keys(tree))
      out[key] = mapTree(tree[key], f, path === "" ? key : `${path}.${key}`);
    return out;
  }
  return f(tree, path);
}

/** The tensors of a tree in order. */
export function tensorsOf(tree: unknown): Tensor[] {
  const list: Tensor[] = [];
  mapTree(tree, (leaf) => {
    if (isTensor(leaf)) list.push(leaf);
    return leaf;
  });
  return list;
}

/** The same tree with its tensors replaced in order. */
export function withTensors<T>(tree: T, tensors: readonly Tensor[]): T {
  let i = 0;
  return mapTree(tree, (leaf) => (isTensor(leaf) ? tensors[i++] : leaf)) as T;
}
