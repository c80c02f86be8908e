import { expect, test } from "vitest";
import { ConfigError } from "../../src/tensor/errors.ts";
import {
  boolean,
  type Infer,
  integer,
  list,
  nullable,
  number,
  object,
  oneOf,
  optional,
  string,
  validate,
  variant,
  withDefault,
} from "../../src/tensor/validate.ts";

const rules = object({
  learningRate: number({ above: 0, max: 1 }),
  steps: withDefault(integer({ min: 1 }), 10),
  name: optional(string()),
  verbose: withDefault(boolean(), false),
  loss: withDefault(oneOf("nsr", "psr", "grpo"), "nsr"),
  optimizer: withDefault(object({ betas: list(number({ min: 0, below: 1 }), { min: 2, max: 2 }) }), {
    betas: [0.9, 0.999],
  }),
});
const check = (value: unknown) => validate("trainer", rules, value);

test("fills defaults and gives back typed values", () => {
  const config: Infer<typeof rules> = check({ learningRate: 0.1 });
  expect(config).toEqual({
    learningRate: 0.1,
    steps: 10,
    name: undefined,
    verbose: false,
    loss: "nsr",
    optimizer: { betas: [0.9, 0.999] },
  });
});

const REFUSED: [unknown, string][] = [
  [
    { learningrate: 0.1 },
    'trainer: learningrate: a known key expected, got an unknown one. Did you mean "learningRate"?',
  ],
  [{ learning_rate: 0.1 }, 'Did you mean "learningRate"?'],
  [{ learningRate: 1, zzzzzzzz: 2 }, "Known: learningRate, steps, name, verbose, loss, optimizer."],
  [{}, "trainer: learningRate: a number in (0, 1] expected, got undefined."],
  [{ learningRate: Number.NaN }, "got NaN."],
  [{ learningRate: Number.POSITIVE_INFINITY }, "got Infinity."],
  [{ learningRate: "0.1" }, 'got "0.1".'],
  [{ learningRate: 0 }, "a number in (0, 1] expected, got 0. Choose a value in the range."],
  [{ learningRate: 1, steps: 1.5 }, "trainer: steps: an integer >= 1 expected, got 1.5."],
  [{ learningRate: 1, steps: 2 ** 53 }, "an integer >= 1 expected"],
  [{ learningRate: 1, steps: null }, "got null."],
  [{ learningRate: 1, loss: "nrs" }, 'one of nsr, psr, grpo expected, got "nrs". Did you mean "nsr"?'],
  [{ learningRate: 1, verbose: 1 }, "true or false expected, got 1."],
  [
    { learningRate: 1, optimizer: { betas: [0.9, 1] } },
    "trainer: optimizer.betas[1]: a number in [0, 1) expected, got 1.",
  ],
  [{ learningRate: 1, optimizer: { betas: [0.9] } }, "2 elements expected, got an array of 1."],
  [
    { learningRate: 1, optimizer: { beta: [] } },
    'optimizer.beta: a known key expected, got an unknown one. Did you mean "betas"?',
  ],
  [{ learningRate: 1, optimizer: { betas: new Array(2) } }, "got undefined."],
  [JSON.parse('{"learningRate":1,"__proto__":{"steps":1}}'), "__proto__"],
  [{ learningRate: 1, constructor: 1 }, "constructor"],
  [null, "trainer: an object expected, got null."],
  [[], "got an array of 0."],
];

for (const [value, message] of REFUSED) {
  test(`refuses: ${message}`, () => {
    expect(() => check(value)).toThrow(ConfigError);
    expect(() => check(value)).toThrow(message);
  });
}

test("does not read inherited keys", () => {
  expect(() => check(Object.create({ learningRate: 0.1 }))).toThrow(/learningRate/);
});

type Shape = { readonly kind: "dot" } | { readonly kind: "disc"; readonly radius: number | null };
const shape = variant<Shape>({ dot: {}, disc: { radius: nullable(number({ above: 0 })) } });

test("a variant has the keys of its kind and no others", () => {
  expect(validate("draw", shape, { kind: "disc", radius: 2 })).toEqual({ kind: "disc", radius: 2 });
  expect(validate("draw", shape, { kind: "disc", radius: null })).toEqual({ kind: "disc", radius: null });
  expect(validate("draw", shape, { kind: "dot" })).toEqual({ kind: "dot" });
});

test.each([
  [{ kind: "disk" }, 'draw: kind: one of dot, disc expected, got "disk". Did you mean "disc"?'],
  [{ kind: "dot", radius: 1 }, "draw: radius: a known key expected, got an unknown one."],
  [{ kind: "disc", radius: 0 }, "draw: radius: a number > 0 expected, got 0."],
  [Object.create({ kind: "dot" }), "draw: kind: one of dot, disc expected, got undefined."],
  [null, 'draw: an object expected, got null. Write { kind: "dot", ... }.'],
])("a variant refuses %j", (bad, message) => {
  expect(() => validate("draw", shape, bad)).toThrow(ConfigError);
  expect(() => validate("draw", shape, bad)).toThrow(message);
});
