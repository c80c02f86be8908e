/** Bytes of the shipped base: from the disk in Node, from the test server in a page. */
export async function quickBase(): Promise<Uint8Array> {
  const url = new URL("../../assets/quick-base.safetensors", import.meta.url);
  if (url.protocol === "file:") {
    const { readFile } = await import("node:fs/promises");
    return new Uint8Array(await readFile(url));
  }
  const response = await fetch(url);
  if (!response.ok) throw new Error(`quickBase: ${url} gave ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}
