/** What the tour says of its numbers: every sentence is computed from the distributions that it stands beside. */

export interface Moved {
  before: Float32Array;
  after: Float32Array;
  /** Token that was learned from. */
  token: number;
  vocab: readonly string[];
}

/** Less is not worth a word. */
const LEAST = 0.005;
/** Tokens that are named. */
const MOST = 3;

const amount = (p: number): string => Math.abs(p).toFixed(2);

/** Tokens whose probability moved one way (`sign`), most first, with how much. */
function movers({ before, after, token, vocab }: Moved, sign: 1 | -1): string[] {
  return Array.from(before.keys())
    .filter((id) => id !== token && sign * (after[id] - before[id]) >= LEAST)
    .sort((a, b) => sign * (after[b] - before[b] - (after[a] - before[a])) || a - b)
    .slice(0, MOST)
    .map((id) => `“${vocab[id]}” (${sign > 0 ? "+" : "−"}${amount(after[id] - before[id])})`);
}

const listed = (words: string[]): string =>
  words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words[words.length - 1]}`;

/** Where the probability of the token that was learned from went, or came from. */
export function movedText(name: "NSR" | "PSR", moved: Moved): string {
  const { before, after, token, vocab } = moved;
  const own = after[token] - before[token];
  const word = `“${vocab[token]}”`;
  if (Math.abs(own) < LEAST) return `${name} left ${word} where it was, at ${before[token].toFixed(2)}.`;
  const [gains, losses] = [movers(moved, 1), movers(moved, -1)];
  if (own < 0) {
    const too = losses.length > 0 ? `; ${listed(losses)} lost as well` : "";
    return `${name} took ${amount(own)} from ${word} and gave it to ${listed(gains) || "many, a little each"}${too}.`;
  }
  const too = gains.length > 0 ? `; ${listed(gains)} gained as well` : "";
  return `${name} gave ${amount(own)} to ${word} and took it from ${listed(losses) || "many, a little each"}${too}.`;
}

/** The push on the token's own logit as trained and as analysed, for its probability before. */
export function pushText({ before, token }: Pick<Moved, "before" | "token">): string {
  const p = before[token];
  return `Here π = ${p.toFixed(2)}: π(1 − π) = ${(p * (1 - p)).toFixed(2)}, and ${(1 - p).toFixed(2)} as trained.`;
}
