/** What the page shows. */

/** The element with an id. */
export function element(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (!found) throw new Error(`no element #${id}`);
  return found;
}

/** A line more in the log. */
export function print(line: string): void {
  element("log").append(`${line}\n`);
}

/** The adapter in words. */
export function show(adapter: {
  description: string;
  vendor: string;
  tier: string;
  software: boolean;
}): string {
  const name = adapter.description || adapter.vendor || "a GPU";
  return `${name}, tier ${adapter.tier}${adapter.software ? " (software: correct, and slow)" : ""}`;
}
