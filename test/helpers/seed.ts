/** The seed of this run's random inputs: fresh each time, or that of `NAYSAY_SEED` to repeat a failure. */

/** A variable of the runner's environment, in Node and in a page alike. */
export function variable(name: string): string | undefined {
  const { env } = import.meta as unknown as { env?: Record<string, string | undefined> };
  return env?.[name] === "" ? undefined : env?.[name];
}

/** Seed of this run, 32 bits. */
export const seed: number = variable("NAYSAY_SEED")
  ? Number(variable("NAYSAY_SEED"))
  : crypto.getRandomValues(new Uint32Array(1))[0];

/** How to repeat: stands in every message of a failure. */
export const repeat = `NAYSAY_SEED=${seed} repeats it`;
