/** Event files: the checksum by its published vectors, frames and messages read back by a reader written here. */
import { expect, test } from "vitest";
import { crc32c } from "../../src/model/crc32c.ts";
import { eventFile } from "../../src/rl/tensorboard.ts";
import { readEvents } from "../helpers/eventFileReader.ts";

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

// Source: RFC 3720, appendix B.4, and the check value of CRC-32C in the catalogue of Cook.
test("CRC-32C", () => {
  expect(crc32c(ascii("123456789"))).toBe(0xe3069283);
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
  expect(crc32c(new Uint8Array(32).fill(255))).toBe(0x62a8ab43);
  expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
});

test("a file of two steps, numbers only, steps beyond 127", () => {
  const file = eventFile([
    { step: 1, wallTime: 1000.5, metrics: { reward: 0.25, warnings: ["none"], loss: null } },
    { step: 300, wallTime: 1001, metrics: { reward: 0.5, "completions/mean_length": 7.5 } },
  ]);
  const [first, second, ...more] = readEvents(file);
  expect(more).toEqual([]);
  expect(first).toEqual({ wallTime: 1000.5, step: 1, scalars: { reward: 0.25 } });
  expect(second).toEqual({
    wallTime: 1001,
    step: 300,
    scalars: { reward: 0.5, "completions/mean_length": 7.5 },
  });
});
