/** What the page remembers between visits. Where a browser keeps nothing, nothing is remembered and nothing fails. */

const PREFIX = "naysay.";
const kept = new Map<string, string>();

export function recall(key: string): string | null {
  try {
    return localStorage.getItem(PREFIX + key);
  } catch {
    return kept.get(key) ?? null;
  }
}

/** `null` forgets. */
export function remember(key: string, value: string | null): void {
  if (value === null) kept.delete(key);
  else kept.set(key, value);
  try {
    if (value === null) localStorage.removeItem(PREFIX + key);
    else localStorage.setItem(PREFIX + key, value);
  } catch {
    // Storage is forbidden or full: it lasts as long as the page then.
  }
}
