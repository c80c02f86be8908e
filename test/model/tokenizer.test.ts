import { expect, test } from "vitest";
import { Tokenizer } from "../../src/model/tokenizer.ts";
import { ConfigError } from "../../src/tensor/errors.ts";

test("symbols round-trip, specials have fixed ids", () => {
  const t = new Tokenizer("symbol", ["+", "12", "three"]);
  expect([t.pad, t.bos, t.eos, t.vocabSize]).toEqual([0, 1, 2, 6]);
  expect(t.encode("  12 + three\n12 ")).toEqual([4, 3, 5, 4]);
  expect(t.decode([1, 4, 3, 2, 0])).toBe("12 +");
  expect(t.decode([1, 4, 2, 0], { special: true })).toBe("BOS 12 EOS PAD");
  expect(t.encode("BOS + EOS")).toEqual([1, 3, 2]);
});

test("characters round-trip, beyond the basic plane too", () => {
  const t = Tokenizer.ofCharacters(["hello 🌍", "éa"]);
  expect(t.decode(t.encode("o🌍é h"))).toBe("o🌍é h");
  expect(Tokenizer.ofCharacters(["éa", "hello 🌍"]).vocab).toEqual(t.vocab);
});

test("the vocabulary survives JSON", () => {
  const t = new Tokenizer("symbol", ["__proto__", "constructor", "a"]);
  const back = Tokenizer.fromJSON(JSON.parse(JSON.stringify(t)));
  expect(back.vocab).toEqual(t.vocab);
  expect(back.encode("a __proto__ constructor")).toEqual([5, 3, 4]);
});

test("unknown symbols and ids are named, with a suggestion", () => {
  const t = new Tokenizer("symbol", ["three", "seven", "constructor"]);
  expect(() => t.encode("thre")).toThrow('got "thre". Did you mean "three"?');
  expect(() => t.encode("toString")).toThrow(ConfigError);
  for (const id of [6, -1, 1.5, Number.NaN]) expect(() => t.decode([id])).toThrow(/ids in \[0, 6\)/);
});

test("bad vocabularies are refused", () => {
  expect(() => new Tokenizer("symbol", ["a", "a"])).toThrow(/"a" twice/);
  expect(() => new Tokenizer("symbol", ["a", "EOS"])).toThrow(/"EOS" twice/);
  expect(() => new Tokenizer("symbol", ["a b"])).toThrow(/without spaces/);
  expect(() => new Tokenizer("symbol", [""])).toThrow(ConfigError);
  expect(() => new Tokenizer("character", ["ab"])).toThrow(/single characters/);
  for (const bad of [
    null,
    {},
    { version: 2, kind: "symbol", vocab: ["PAD", "BOS", "EOS", "a"] },
    { version: 1, kind: "word", vocab: ["PAD", "BOS", "EOS", "a"] },
    { version: 1, kind: "symbol", vocab: ["BOS", "PAD", "EOS", "a"] },
    { version: 1, kind: "symbol", vocab: ["PAD", "BOS", "EOS", 3] },
    { version: 1, kind: "symbol", vocab: ["PAD", "BOS", "EOS", "a"], extra: 1 },
  ]) {
    expect(() => Tokenizer.fromJSON(bad)).toThrow(ConfigError);
  }
});
