/** "Did you mean": the nearest of the known names, for error messages, and options whose names are checked. */
import { ConfigError } from "./errors.ts";

/** Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`. */
export function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = previous[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      row[j] = Math.min(previous[j] + 1, row[j - 1] + 1, replaced);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        row[j] = Math.min(row[j], before[j - 2] + 1);
      }
    }
    before = previous;
    previous = row;
  }
  return previous[b.length];
}

/** Names longer than this are compared by their beginnings, so that hostile keys cost no time. */
const LONGEST = 64;

/**
 * The known name nearest to `name`, or undefined where none is near (a third of its letters, at least 1).
 * Case, `-` and `_` do not count: `learning_rate` finds `learningRate`.
 */
export function nearest(name: string, known: Iterable<string>): string | undefined {
  const plain = (text: string) =>
    text
      .slice(0, LONGEST)
      .toLowerCase()
      .replace(/[-_\s]/g, "");
  const wanted = plain(name);
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(wanted.length / 3)) + 1;
  for (const candidate of known) {
    const other = plain(candidate);
    // a beginning of three letters or more counts as one slip
    const begins =
      wanted.length >= 3 && (other.startsWith(wanted) || (other.length >= 3 && wanted.startsWith(other)));
    const distance = begins && other !== wanted ? 1 : editDistance(wanted, other);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** `Did you mean "x"?` where a known name is near, else the list of known names, at most `most`. */
export function didYouMean(name: string, known: Iterable<string>, most = 12): string {
  const names = [...known];
  const best = nearest(name, names);
  if (best !== undefined) return `Did you mean "${best}"?`;
  if (names.length === 0) return "None is known.";
  const listed = names.slice(0, most).join(", ");
  return `Known: ${listed}${names.length > most ? `, and ${names.length - most} more` : ""}.`;
}

/** Throws `ConfigError` for a key of `options` that is not in `known`, and where `options` are no object. */
export function requireKnown(op: string, options: object, known: readonly string[]): void {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    const got = options === null ? "null" : Array.isArray(options) ? "a list" : `a ${typeof options}`;
    throw new ConfigError(`${op}: an object of options expected, got ${got}. Write { ${known[0]}: ... }.`);
  }
  for (const key of Object.keys(options)) {
    if (known.includes(key)) continue;
    throw new ConfigError(
      `${op}: ${key.slice(0, 60)}: a known option expected, got an unknown one. ${didYouMean(key, known)}`,
    );
  }
}
