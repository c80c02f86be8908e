/** What must hold for every state of the page: names of controls, contrast of text, width. */
import type { Page } from "playwright-core";

/** Roles of what a visitor operates. */
const CONTROLS = new Set([
  "button",
  "checkbox",
  "combobox",
  "link",
  "listbox",
  "menuitem",
  "option",
  "radio",
  "searchbox",
  "slider",
  "spinbutton",
  "switch",
  "textbox",
]);

interface AccessNode {
  ignored: boolean;
  role?: { value: string };
  name?: { value: string };
}

/** The accessible names of all controls, as the browser computes them for a screen reader. */
export async function controlNames(page: Page): Promise<{ role: string; name: string }[]> {
  const session = await page.context().newCDPSession(page);
  const { nodes } = (await session.send("Accessibility.getFullAXTree")) as { nodes: AccessNode[] };
  await session.detach();
  return nodes
    .filter(({ ignored, role }) => !ignored && role && CONTROLS.has(role.value))
    .map(({ role, name }) => ({ role: role?.value ?? "", name: name?.value.trim() ?? "" }));
}

/** Text whose contrast with what lies behind it is below WCAG AA: 4.5, or 3 where it is large. Disabled controls are exempt. */
export function poorContrast(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    if (!context) throw new Error("no canvas");
    /** [r, g, b] in 0 to 255 and alpha in [0, 1], of any CSS colour. */
    const rgba = (colour: string): number[] => {
      context.clearRect(0, 0, 1, 1);
      context.fillStyle = colour;
      context.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
      return [r, g, b, a / 255];
    };
    const luminance = ([r, g, b]: number[]): number => {
      const [x, y, z] = [r, g, b].map((c) =>
        c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4,
      );
      return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const behind = (start: Element): number[] => {
      for (let at: Element | null = start; at; at = at.parentElement) {
        const colour = rgba(getComputedStyle(at).backgroundColor);
        // What is half transparent is not used for text here.
        if (colour[3] > 0.99) return colour;
      }
      return [255, 255, 255, 1];
    };
    const found: string[] = [];
    for (const element of document.body.querySelectorAll<HTMLElement>("*")) {
      const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent?.trim());
      const box = element.getBoundingClientRect();
      if (!own || box.width < 2 || box.height < 2 || element.closest(":disabled")) continue;
      const style = getComputedStyle(element);
      const size = Number.parseFloat(style.fontSize);
      const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
      const [a, b] = [luminance(rgba(style.color)), luminance(behind(element))];
      const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      if (ratio < (large ? 3 : 4.5)) {
        const text = element.textContent?.trim().slice(0, 30);
        found.push(`${element.tagName} ${element.className} "${text}": ${ratio.toFixed(2)}`);
      }
    }
    return [...new Set(found)];
  });
}

/** How far the page reaches beyond its window to the right, px, and what does. */
export function overflow(page: Page): Promise<{ beyond: number; by: string[] }> {
  return page.evaluate(() => {
    const width = document.documentElement.clientWidth;
    const beyond = document.documentElement.scrollWidth - width;
    const by =
      beyond <= 0
        ? []
        : [...document.body.querySelectorAll("*")]
            .filter((element) => element.getBoundingClientRect().right > width + 1)
            .map((element) => `${element.tagName}#${element.id}.${element.className}`);
    return { beyond, by: by.slice(0, 12) };
  });
}
