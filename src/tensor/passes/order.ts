/** The order in which groups run. */
import type { Group } from "./fuse.ts";

/**
 * Orders groups so that each follows its needs, otherwise by their first nodes: a product of gradients runs where it was written
 * though what it is added to was named last, so that its operands need not live till then. Null where they form a ring.
 */
export function orderGroups(
  groups: readonly Group[],
  needs: ReadonlyMap<Group, ReadonlySet<Group>>,
): Group[] | null {
  const left = new Map<Group, number>();
  const after = new Map<Group, Group[]>();
  for (const g of groups) {
    const n = needs.get(g) ?? new Set<Group>();
    left.set(g, n.size);
    for (const d of n) {
      const list = after.get(d);
      if (list) list.push(g);
      else after.set(d, [g]);
    }
  }
  const ready = groups.filter((g) => left.get(g) === 0);
  const out: Group[] = [];
  while (ready.length > 0) {
    let best = 0;
    for (let i = 1; i < ready.length; i++) if (ready[i].nodes[0].id < ready[best].nodes[0].id) best = i;
    const [g] = ready.splice(best, 1);
    out.push(g);
    for (const a of after.get(g) ?? []) {
      const n = (left.get(a) as number) - 1;
      left.set(a, n);
      if (n === 0) ready.push(a);
    }
  }
  return out.length === groups.length ? out : null;
}
