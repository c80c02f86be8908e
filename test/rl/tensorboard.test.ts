/** Event files: the checksum by its published vectors, frames and messages read back by a reader written here. */
import { expect, test } from "vitest";
import { crc32c, eventFile } from "../../src/rl/tensorboard.ts";

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

// Source: RFC 3720, appendix B.4, and the check value of CRC-32C in the catalogue of Cook.
test("CRC-32C", () => {
  expect(crc32c(ascii("123456789"))).toBe(0xe3069283);
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
  expect(crc32c(new Uint8Array(32).fill(255))).toBe(0x62a8ab43);
  expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
});

type Field = { field: number; wire: number; value: number | Uint8Array };

/** Fields of a protocol buffer message. */
function fields(data: Uint8Array): Field[] {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = data[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  const found: Field[] = [];
  while (at < data.length) {
    const key = varint();
    const [field, wire] = [key >> 3, key & 7];
    if (wire === 0) found.push({ field, wire, value: varint() });
    else if (wire === 1) {
      found.push({ field, wire, value: view.getFloat64(at, true) });
      at += 8;
    } else if (wire === 5) {
      found.push({ field, wire, value: view.getFloat32(at, true) });
      at += 4;
    } else if (wire === 2) {
      const length = varint();
      found.push({ field, wire, value: data.subarray(at, at + length) });
      at += length;
    } else throw new Error(`wire type ${wire}`);
  }
  return found;
}

/** Records of a file; throws where a checksum is wrong. */
function records(file: Uint8Array): Uint8Array[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const check = (at: number, data: Uint8Array): void => {
    const c = crc32c(data);
    const masked = (((c >>> 15) | (c << 17)) + 0xa282ead8) >>> 0;
    if (view.getUint32(at, true) !== masked) throw new Error(`checksum at ${at}`);
  };
  const found: Uint8Array[] = [];
  for (let at = 0; at < file.length; ) {
    const length = view.getUint32(at, true);
    check(at + 8, file.subarray(at, at + 8));
    const data = file.subarray(at + 12, at + 12 + length);
    check(at + 12 + length, data);
    found.push(data);
    at += 16 + length;
  }
  return found;
}

test("a file of two steps, numbers only, steps beyond 127", () => {
  const file = eventFile([
    { step: 1, wallTime: 1000.5, metrics: { reward: 0.25, warnings: ["none"], loss: null } },
    { step: 300, wallTime: 1001, metrics: { reward: 0.5, "completions/mean_length": 7.5 } },
  ]);
  const [header, first, second] = records(file);
  expect(new TextDecoder().decode(fields(header)[1].value as Uint8Array)).toBe("brain.Event:2");
  const read = (record: Uint8Array) => {
    const event = fields(record);
    const at = (field: number) => event.find((f) => f.field === field)?.value;
    const values = fields(at(5) as Uint8Array).map(({ value }) => {
      const [tag, number] = fields(value as Uint8Array);
      return [new TextDecoder().decode(tag.value as Uint8Array), number.value];
    });
    return { wallTime: at(1), step: at(2), scalars: Object.fromEntries(values) };
  };
  expect(read(first)).toEqual({ wallTime: 1000.5, step: 1, scalars: { reward: 0.25 } });
  expect(read(second)).toEqual({
    wallTime: 1001,
    step: 300,
    scalars: { reward: 0.5, "completions/mean_length": 7.5 },
  });
});
