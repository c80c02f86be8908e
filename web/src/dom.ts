/** Making and finding elements. Text becomes text nodes and attributes become attributes: no string is ever parsed as markup. */

export type Attributes = Record<string, string | number | boolean | null | undefined>;
export type Child = Node | string | null | undefined;

/** A new element; attributes that are `null`, `undefined` or `false` are left out. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) setAttribute(made, name, value);
  made.append(...children.filter((child): child is Node | string => child !== null && child !== undefined));
  return made;
}

/** Handlers are listeners, never attributes: an attribute would be run as code. */
export function setAttribute(target: Element, name: string, value: Attributes[string]): void {
  if (/^on/i.test(name)) throw new TypeError(`element: no attribute ${name} expected. Use addEventListener.`);
  if (value === null || value === undefined || value === false) target.removeAttribute(name);
  else target.setAttribute(name, value === true ? "" : String(value));
}

/** The element of this id in index.html. */
export function byId<T extends HTMLElement>(id: string, kind: new () => T): T {
  const found = document.getElementById(id);
  if (found instanceof kind) return found;
  throw new TypeError(
    `byId: a ${kind.name} with id ${id} expected in index.html, got ${found?.tagName ?? "none"}.`,
  );
}

/** Sets text only where it differs: readers and layout hear of real changes alone. */
export function setText(target: Element, text: string): void {
  if (target.textContent !== text) target.textContent = text;
}

/** Makes what scrolls reachable by keys as well, under a name. */
export function scrollRegion(target: HTMLElement, name: string): void {
  target.tabIndex = 0;
  setAttribute(target, "role", "region");
  setAttribute(target, "aria-label", name);
}

/** Text with what stands between backticks as code: flags that break at no hyphen. */
export function withCode(line: string): (string | HTMLElement)[] {
  return line.split("`").map((part, i) => (i % 2 === 1 ? element("code", {}, part) : part));
}
