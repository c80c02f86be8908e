/** A reader of TensorBoard's event files, for tests: frames, checksums, and the messages inside. */
import { crc32c } from "../../src/model/crc32c.ts";

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

export interface ReadEvent {
  wallTime: number;
  step: number;
  scalars: Record<string, number>;
}

/** The scalars of a file; throws where a frame, a checksum or the header is wrong. */
export function readEvents(file: Uint8Array): ReadEvent[] {
  const [header, ...events] = records(file);
  const version = new TextDecoder().decode(fields(header)[1].value as Uint8Array);
  if (version !== "brain.Event:2") throw new Error(`version ${version}`);
  return events.map((record) => {
    const event = fields(record);
    const at = (field: number) => event.find((f) => f.field === field)?.value;
    const values = fields(at(5) as Uint8Array).map(({ value }) => {
      const [tag, number] = fields(value as Uint8Array);
      return [new TextDecoder().decode(tag.value as Uint8Array), number.value];
    });
    return { wallTime: at(1) as number, step: at(2) as number, scalars: Object.fromEntries(values) };
  });
}
