/**
 * TensorBoard event files, scalars only: the frames of TFRecord around Event messages of protocol buffers.
 *
 *     record = length u64 | masked crc32c(length) | data | masked crc32c(data)        all little-endian
 *     masked(c) = ((c >> 15) | (c << 17)) + 0xa282ead8                                 mod 2^32
 *     Event    { 1: wall_time double, 2: step varint, 3: file_version string | 5: summary Summary }
 *     Summary  { 1: repeated Value { 1: tag string, 2: simple_value float } }
 *
 * Source: tensorflow/core/util/event.proto, tensorflow/core/framework/summary.proto, tensorflow/core/lib/io/record_writer.cc.
 */

import { crc32c } from "../model/crc32c.ts";

const encoder = new TextEncoder();

function masked(bytes: Uint8Array): number {
  const c = crc32c(bytes);
  return (((c >>> 15) | (c << 17)) + 0xa282ead8) >>> 0;
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest];
    bytes.push((rest % 128) | 128);
  }
}

const key = (field: number, wire: 0 | 1 | 2 | 5): number[] => varint(field * 8 + wire);

function number(field: number, wire: 1 | 5, value: number): number[] {
  const view = new DataView(new ArrayBuffer(wire === 1 ? 8 : 4));
  if (wire === 1) view.setFloat64(0, value, true);
  else view.setFloat32(0, value, true);
  return [...key(field, wire), ...new Uint8Array(view.buffer)];
}

function bytes(field: number, content: ArrayLike<number>): number[] {
  return [...key(field, 2), ...varint(content.length), ...Array.from(content)];
}

/** One framed record. */
function record(data: Uint8Array): Uint8Array {
  const out = new Uint8Array(data.length + 16);
  const view = new DataView(out.buffer);
  view.setUint32(0, data.length, true);
  view.setUint32(8, masked(out.subarray(0, 8)), true);
  out.set(data, 12);
  view.setUint32(12 + data.length, masked(data), true);
  return out;
}

/** The record that begins every event file; `wallTime` in seconds since 1970. */
export function eventFileHeader(wallTime: number): Uint8Array {
  return record(Uint8Array.from([...number(1, 1, wallTime), ...bytes(3, encoder.encode("brain.Event:2"))]));
}

/** A record of scalars at a step; values that are not finite numbers are kept as they are, f32. */
export function scalarEvent(
  wallTime: number,
  step: number,
  scalars: Readonly<Record<string, number>>,
): Uint8Array {
  const values = Object.entries(scalars).flatMap(([tag, value]) =>
    bytes(1, [...bytes(1, encoder.encode(tag)), ...number(2, 5, value)]),
  );
  return record(
    Uint8Array.from([...number(1, 1, wallTime), ...key(2, 0), ...varint(step), ...bytes(5, values)]),
  );
}

/** A whole event file of rows of metrics: every number in a row becomes a scalar under its name. */
export function eventFile(
  rows: readonly { readonly step: number; readonly wallTime: number; readonly metrics: object }[],
): Uint8Array {
  const parts = [eventFileHeader(rows[0]?.wallTime ?? 0)];
  for (const { step, wallTime, metrics } of rows) {
    const numbers = Object.entries(metrics).filter(([, value]) => typeof value === "number");
    parts.push(scalarEvent(wallTime, step, Object.fromEntries(numbers)));
  }
  const out = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
