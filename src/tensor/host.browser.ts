/** `#host` in browsers: a page has no end to wait for and no files; its profiler is asked by name. */

/** Does nothing: call `backend.profiler.table()` or `profileTrace()` when you want them. */
export function atEnd(_finish: () => Promise<void>, _last: () => void): void {}

/** Writes nothing. */
export function writeText(_path: string, _text: string): boolean {
  return false;
}

/** Name of the browser's storage for what is kept between visits. */
const CACHE = "naysay";
const address = (name: string): string => `https://naysay.invalid/${encodeURIComponent(name)}`;

/** Where a text of this name is kept. */
export function cachedAt(name: string): string {
  return `the browser's storage "${CACHE}", ${name}`;
}

/** What was kept under a name; null where there is nothing, or the page may not store (not a secure context, say). */
export async function readCached(name: string): Promise<string | null> {
  try {
    const hit = await (await caches.open(CACHE)).match(address(name));
    return hit ? await hit.text() : null;
  } catch {
    return null;
  }
}

/** Keeps a text under a name. Rejects where the page may not store. */
export async function writeCached(name: string, text: string): Promise<void> {
  await (await caches.open(CACHE)).put(address(name), new Response(text));
}
