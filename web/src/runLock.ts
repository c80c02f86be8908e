/** One writer for each run, over all tabs: whoever runs it, or removes its files, holds its Web Lock. */

/** Does `work` unless somebody, here or in another tab, is at the same run; whether it was done. */
export async function alone(out: string, work: () => Promise<void>): Promise<boolean> {
  return await navigator.locks.request(`naysay ${out}`, { ifAvailable: true }, async (lock) => {
    if (!lock) return false;
    await work();
    return true;
  });
}
