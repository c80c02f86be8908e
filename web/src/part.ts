/** Parts of the page that come in files of their own when they are asked for, again where they did not come. */

/**
 * Loads a part; each call is a try until one succeeds. A browser remembers a module that it could not load and refuses it for
 * good, so another try asks for the same file under another address, where the browser's message names the first.
 */
export function part<T>(load: () => Promise<T>): () => Promise<T> {
  let address: string | undefined;
  let tries = 0;
  return async () => {
    try {
      return await (address === undefined ? load() : import(/* @vite-ignore */ `${address}?again=${tries}`));
    } catch (error) {
      tries++;
      address ??= /https?:\S+\.js/.exec(error instanceof Error ? error.message : "")?.[0];
      throw error;
    }
  };
}
