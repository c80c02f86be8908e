/**
 * A tokenizer for small closed vocabularies: each symbol (a word without spaces) or each character is one token.
 * The vocabulary is plain JSON and travels beside the checkpoint.
 */

import { ConfigError } from "../tensor/errors.ts";
import { didYouMean } from "../tensor/suggest.ts";
import { integer, list, object, oneOf, string, validate } from "../tensor/validate.ts";

export type TokenizerKind = "symbol" | "character";

/** What `toJSON` writes and `fromJSON` reads. */
export interface TokenizerJson {
  version: number;
  kind: TokenizerKind;
  /** Token by id; the first three are padding, beginning and end. */
  vocab: string[];
}

const rules = object({
  version: integer({ min: 1, max: 1 }),
  kind: oneOf("symbol", "character"),
  vocab: list(string(), { min: 4, max: 65_536 }),
});

const SPECIAL = ["PAD", "BOS", "EOS"];

/** Encodes text to ids and back: symbols apart by spaces, or single characters. */
export class Tokenizer {
  readonly kind: TokenizerKind;
  readonly vocab: readonly string[];
  readonly pad = 0;
  readonly bos = 1;
  readonly eos = 2;
  #ids: Map<string, number>;

  /** `symbols` are the tokens after PAD, BOS and EOS, which are always ids 0, 1 and 2. */
  constructor(kind: TokenizerKind, symbols: readonly string[]) {
    this.kind = kind;
    this.vocab = [...SPECIAL, ...symbols];
    this.#ids = new Map(this.vocab.map((symbol, id) => [symbol, id]));
    if (this.#ids.size !== this.vocab.length) {
      const twice = this.vocab.find((symbol, id) => this.#ids.get(symbol) !== id);
      throw new ConfigError(`tokenizer: distinct symbols expected, got "${twice}" twice. Remove one.`);
    }
    for (const symbol of symbols) {
      const good = kind === "symbol" ? /^\S+$/u.test(symbol) : [...symbol].length === 1;
      if (!good) {
        const wanted = kind === "symbol" ? "symbols without spaces" : "single characters";
        throw new ConfigError(
          `tokenizer: ${wanted} expected, got ${JSON.stringify(symbol)}. Split or rename it.`,
        );
      }
    }
  }

  /** A character tokenizer for these texts, characters in code point order. */
  static ofCharacters(texts: Iterable<string>): Tokenizer {
    const found = new Set<string>();
    for (const text of texts) for (const character of text) found.add(character);
    return new Tokenizer(
      "character",
      [...found].sort((a, b) => a.codePointAt(0)! - b.codePointAt(0)!),
    );
  }

  static fromJSON(json: unknown): Tokenizer {
    const { kind, vocab } = validate("tokenizer", rules, json);
    if (SPECIAL.some((symbol, id) => vocab[id] !== symbol)) {
      throw new ConfigError(
        `tokenizer: vocab beginning with ${SPECIAL.join(", ")} expected, got ${vocab.slice(0, 3).join(", ")}. Reorder it.`,
      );
    }
    return new Tokenizer(kind, vocab.slice(3));
  }

  toJSON(): TokenizerJson {
    return { version: 1, kind: this.kind, vocab: [...this.vocab] };
  }

  get vocabSize(): number {
    return this.vocab.length;
  }

  /** The id of one token; throws a ConfigError with the nearest known one. */
  id(token: string): number {
    const id = this.#ids.get(token);
    if (id === undefined) {
      throw new ConfigError(
        `tokenizer: a symbol of the vocabulary expected, got ${JSON.stringify(token)}. ${didYouMean(token, this.vocab)}`,
      );
    }
    return id;
  }

  /** The ids of a text, without BOS and EOS unless a symbol tokenizer's text spells them. */
  encode(text: string): number[] {
    const tokens = this.kind === "symbol" ? text.split(/\s+/u).filter(Boolean) : [...text];
    return tokens.map((token) => this.id(token));
  }

  /** The text of ids; PAD, BOS and EOS are left out unless `special` is set. */
  decode(ids: Iterable<number>, { special = false } = {}): string {
    const tokens: string[] = [];
    for (const id of ids) {
      if (!(Number.isInteger(id) && id >= 0 && id < this.vocab.length)) {
        throw new ConfigError(
          `tokenizer: ids in [0, ${this.vocab.length}) expected, got ${id}. Check that the model's vocabSize is the tokenizer's.`,
        );
      }
      if (special || id >= SPECIAL.length) tokens.push(this.vocab[id]);
    }
    return tokens.join(this.kind === "symbol" ? " " : "");
  }
}
