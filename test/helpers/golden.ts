/** Bytes of a file under test/golden: from the disk in Node, from the test server in a browser. */
export async function golden(path: string): Promise<Uint8Array> {
  const here = import.meta.url;
  const url = new URL(`../golden/${path}`, here);
  if (url.protocol === "file:") {
    const { readFile } = await import("node:fs/promises");
    return new Uint8Array(await readFile(url));
  }
  const response = await fetch(url);
  if (!response.ok) throw new Error(`golden: ${url} gave ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

export async function goldenJson(path: string): Promise<unknown> {
  return JSON.parse(new TextDecoder().decode(await golden(path)));
}
