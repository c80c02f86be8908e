/** What the page remembers between visits. Where a browser keeps nothing, it lasts as long as the page and nothing fails. */

const PREFIX = "naysay.";
/** What the browser would not take: it counts before what stands in its storage. */
const kept = new Map<string, string | null>();

export function recall(key: string): string | null {
  const here = kept.get(key);
  if (here !== undefined) return here;
  try {
    return localStorage.getItem(PREFIX + key);
  } catch {
    return null;
  }
}

/** `null` forgets. */
export function remember(key: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(PREFIX + key);
    else localStorage.setItem(PREFIX + key, value);
    kept.delete(key);
  } catch {
    kept.set(key, value); // Storage is forbidden or full.
  }
}
