/** Driving the page as a visitor does, and reading what it shows. */
import type { Page } from "playwright-core";

/** A short run of the quick preset, as a query: NSR beside the base, every number small, at T0. */
export const SHORT_QUERY =
  "?preset=quick&arms=base,nsr&updates=10&promptsPerStep=4&numGenerations=4&microBatchRows=16" +
  "&evalPrompts=4&evalSamples=8&entropySamples=2&rows=16&scoreRows=16&tier=T0";

/** Waits until the engine is there. */
export async function ready(page: Page): Promise<void> {
  await page.locator("#start:not([disabled])").waitFor({ timeout: 60_000 });
}

/** Waits until the status begins with a text. */
export async function status(page: Page, start: string, timeout = 120_000): Promise<void> {
  await page
    .locator("#status")
    .filter({ hasText: new RegExp(`^${start}`) })
    .waitFor({ timeout });
}

/** Updates that the table shows for an arm. */
export async function updates(page: Page, arm: string): Promise<number> {
  const row = page.locator("#arms tbody tr").filter({ has: page.locator("th", { hasText: arm }) });
  return Number(await row.locator("td").nth(-2).textContent());
}

/** `weightsSha256` by arm, of the arms that are finished. */
export function hashes(page: Page): Promise<Record<string, string>> {
  return page.evaluate(() =>
    Object.fromEntries(
      [...document.querySelectorAll<HTMLElement>("#arms tr[data-sha256]")].map((row) => [
        row.dataset.arm as string,
        row.dataset.sha256 as string,
      ]),
    ),
  );
}

/** Messages above the page. */
export async function notices(page: Page): Promise<string[]> {
  return page.locator(".notice > span").allTextContents();
}
