/**
 * Checkpoints: one safetensors file with the weights under their Hugging Face names, the configuration and the
 * caller's metadata as text, and AdamW's moments as `optimizer.m.<name>` and `optimizer.v.<name>` where kept.
 * A file is checked whole, names and shapes against the configuration, before anything is written to the device.
 */
import { type FlatPart, type FlatTensors, wholeTensors } from "../tensor/create.ts";
import { CheckpointError, ConfigError } from "../tensor/errors.ts";
import { numel, type Shape, show } from "../tensor/shape.ts";
import { fromHuggingFace, type ModelConfig, type ModelOptions, modelConfig } from "./config.ts";
import { crc32c } from "./crc32c.ts";
import type { Files } from "./files.ts";
import { allocateParameters, type ParameterSpec, parameterSpecs } from "./parameters.ts";
import {
  piecesOf,
  readSafetensors,
  type SafetensorsEntry,
  toFloat32,
  type WrittenEntry,
  writeSafetensors,
} from "./safetensors.ts";

const CONFIG_KEY = "naysay.config";
const CRC_KEY = "naysay.crc32c";
const EXTRA = "extra.";
const MOMENTS = { m: "optimizer.m.", v: "optimizer.v." } as const;

export interface CheckpointContents {
  config: ModelConfig;
  params: FlatTensors;
  /** AdamW's moments. */
  optimizer?: { m: FlatTensors; v: FlatTensors };
  /** Tensors of the caller's, kept as `extra.<group>.<name>`. */
  extras?: Readonly<Record<string, FlatTensors>>;
  /** Text to keep beside the weights: recipe, seed, step. */
  metadata?: Readonly<Record<string, string>>;
}

/** Values by parameter name. */
export type Weights = ReadonlyMap<string, Float32Array>;

export interface DecodedCheckpoint {
  config: ModelConfig;
  weights: Weights;
  /** Moments, where the file has them. */
  optimizer: { m: Weights; v: Weights } | null;
  /** By group, the tensors that `extras` named; their shapes are the caller's to check. */
  extras: ReadonlyMap<string, Weights>;
  metadata: ReadonlyMap<string, string>;
}

/** Values of all tensors as they lie on the device, copied a segment at a time: a cut tensor's by blocks, in order. */
async function readPieces(flat: FlatTensors): Promise<Map<string, { shape: Shape; pieces: Float32Array[] }>> {
  // The reference backend computes in float64; a file holds f32.
  const segments = await Promise.all(
    flat.flat.map(async (t) => {
      const values = await t.data();
      return values instanceof Float32Array ? values : Float32Array.from(values);
    }),
  );
  const piece = ({ shape, segment, offset }: FlatPart): Float32Array =>
    segments[segment].subarray(offset, offset + numel(shape));
  return new Map(
    wholeTensors(flat.layout).map(({ name, shape, parts }) => [name, { shape, pieces: parts.map(piece) }]),
  );
}

/** Values of all tensors by the names they were given, whether cut or not. */
export async function readWeights(flat: FlatTensors): Promise<Map<string, Float32Array>> {
  const out = new Map<string, Float32Array>();
  for (const [name, { shape, pieces }] of await readPieces(flat)) {
    const values = new Float32Array(numel(shape));
    let at = 0;
    for (const piece of pieces) {
      values.set(piece, at);
      at += piece.length;
    }
    out.set(name, values);
  }
  return out;
}

/** Puts values into tensors of the same names; those without a value stay. */
export function writeWeights(flat: FlatTensors, weights: Weights): void {
  for (const [name, values] of weights) flat.write(name, values);
}

/** New parameters with the weights of a checkpoint; `segmentLimit` as of `initializeParameters`. */
export function parametersFrom(checkpoint: DecodedCheckpoint, segmentLimit?: number): FlatTensors {
  const params = allocateParameters(checkpoint.config, undefined, segmentLimit);
  writeWeights(params, checkpoint.weights);
  return params;
}

/** SHA-256 over the bytes (f32, little-endian) of all tensors in ascending order of names, as hexadecimal. */
export async function weightsSha256(params: FlatTensors): Promise<string> {
  const weights = await readWeights(params);
  const names = [...weights.keys()].sort();
  const total = names.reduce((n, name) => n + (weights.get(name) as Float32Array).length, 0);
  const view = new DataView(new ArrayBuffer(4 * total));
  let at = 0;
  for (const name of names) {
    for (const x of weights.get(name) as Float32Array) {
      view.setFloat32(at, x, true);
      at += 4;
    }
  }
  const digest = new Uint8Array(await globalThis.crypto.subtle.digest("SHA-256", view.buffer));
  return Array.from(digest, (b) => b.toString(16).padStart(2, "0")).join("");
}

/** The file's bytes. Throws `CheckpointError` where the parameters are not those of the configuration. */
export async function encodeCheckpoint(contents: CheckpointContents): Promise<Uint8Array<ArrayBuffer>> {
  const specs = parameterSpecs(contents.config);
  const entries = new Map<string, WrittenEntry>();
  const add = async (flat: FlatTensors, prefix: string): Promise<void> => {
    const shapes = new Map(wholeTensors(flat.layout).map((p) => [p.name, p.shape]));
    checkNames(specs, shapes, "the parameters given");
    const pieces = await readPieces(flat);
    for (const { name, shape } of specs) {
      const data = pieces.get(name)?.pieces as Float32Array[];
      entries.set(prefix + name, { dtype: "F32", shape: [...shape], data });
    }
  };
  await add(contents.params, "");
  if (contents.optimizer) {
    await add(contents.optimizer.m, MOMENTS.m);
    await add(contents.optimizer.v, MOMENTS.v);
  }
  for (const [group, flat] of Object.entries(contents.extras ?? {})) {
    for (const [name, { shape, pieces }] of await readPieces(flat))
      entries.set(`${EXTRA}${group}.${name}`, { dtype: "F32", shape: [...shape], data: pieces });
  }
  const metadata = new Map(Object.entries(contents.metadata ?? {}));
  metadata.set("format", "pt"); // Hugging Face's readers ask for it
  metadata.set(CONFIG_KEY, JSON.stringify(contents.config));
  metadata.set(CRC_KEY, String(checksum(entries)));
  return writeSafetensors(entries, metadata);
}

/** Of the values of all tensors, in the order of their names. */
function checksum(entries: ReadonlyMap<string, WrittenEntry>): number {
  let crc = 0;
  for (const name of [...entries.keys()].sort()) {
    for (const piece of piecesOf((entries.get(name) as WrittenEntry).data))
      crc = crc32c(new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength), crc);
  }
  return crc;
}

/**
 * Reads a checkpoint. `config` is needed for files that naysay did not write. Throws `CheckpointError` for a damaged
 * file, for missing, unknown or misshapen tensors, and where the file's configuration is wrong.
 */
export function decodeCheckpoint(bytes: Uint8Array, given?: ModelConfig): DecodedCheckpoint {
  const file = readSafetensors(bytes);
  const config = given ?? configOf(file.metadata.get(CONFIG_KEY));
  const specs = parameterSpecs(config);
  const groups = { weights: new Map<string, SafetensorsEntry>(), m: new Map(), v: new Map() };
  const extras = new Map<string, Map<string, Float32Array>>();
  for (const [name, entry] of file.tensors) {
    if (name.startsWith(EXTRA)) {
      const [group, ...rest] = name.slice(EXTRA.length).split(".");
      const known = extras.get(group) ?? new Map<string, Float32Array>();
      extras.set(group, known.set(rest.join("."), floats(name, entry)));
    } else if (name.startsWith(MOMENTS.m)) groups.m.set(name.slice(MOMENTS.m.length), entry);
    else if (name.startsWith(MOMENTS.v)) groups.v.set(name.slice(MOMENTS.v.length), entry);
    else if (!isIgnored(config, name)) groups.weights.set(plainName(config, name), entry);
  }
  const values = (entries: ReadonlyMap<string, SafetensorsEntry>, what: string): Weights => {
    checkNames(specs, new Map([...entries].map(([name, e]) => [name, e.shape])), what);
    return new Map(specs.map(({ name }) => [name, floats(name, entries.get(name) as SafetensorsEntry)]));
  };
  const weights = values(groups.weights, "the file");
  const moments = groups.m.size > 0 || groups.v.size > 0;
  const optimizer = moments
    ? { m: values(groups.m, "optimizer.m"), v: values(groups.v, "optimizer.v") }
    : null;
  // Last: what is missing or misshapen is better named than called damage.
  const kept = file.metadata.get(CRC_KEY);
  if (kept !== undefined && kept !== String(checksum(file.tensors))) {
    throw new CheckpointError(
      `checkpoint: values with the checksum ${kept.slice(0, 20)} expected, got others: the file is damaged. Take another copy of it.`,
    );
  }
  return {
    config,
    weights,
    optimizer,
    extras,
    metadata: new Map([...file.metadata].filter(([key]) => ![CONFIG_KEY, CRC_KEY, "format"].includes(key))),
  };
}

/** Writes a checkpoint, all or nothing. */
export async function saveCheckpoint(
  files: Files,
  path: string,
  contents: CheckpointContents,
): Promise<void> {
  await files.writeFileAtomic(path, await encodeCheckpoint(contents));
}

/** Reads a checkpoint that `saveCheckpoint` wrote. */
export async function loadCheckpoint(
  files: Files,
  path: string,
  config?: ModelConfig,
): Promise<DecodedCheckpoint> {
  return decodeCheckpoint(await files.readFile(path), config);
}

/** Reads `config.json` and `model.safetensors` from a folder in Hugging Face's layout. */
export async function loadHuggingFace(files: Files, folder: string): Promise<DecodedCheckpoint> {
  const text = new TextDecoder().decode(await files.readFile(`${folder}/config.json`));
  const config = fromHuggingFace(parse(text, "config.json"));
  return decodeCheckpoint(await files.readFile(`${folder}/model.safetensors`), config);
}

function parse(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CheckpointError(
      `checkpoint: JSON expected in ${what}, got something else. Fetch the file again.`,
      { cause },
    );
  }
}

function configOf(text: string | undefined): ModelConfig {
  if (text === undefined) {
    throw new CheckpointError(
      "checkpoint: a configuration in the metadata expected, got none. Pass the configuration, e.g. fromHuggingFace(config.json).",
    );
  }
  try {
    return modelConfig(parse(text, "the metadata's configuration") as ModelOptions);
  } catch (cause) {
    if (!(cause instanceof ConfigError)) throw cause;
    throw new CheckpointError(`checkpoint: a valid configuration expected, got: ${cause.message}`, { cause });
  }
}

/** Tensors of Hugging Face files that are no parameters: masks, rotary frequencies, a tied output layer. */
function isIgnored(config: ModelConfig, name: string): boolean {
  if (name.endsWith(".rotary_emb.inv_freq")) return true;
  if (config.modelType === "gpt2" && /\.attn\.(masked_)?bias$/.test(name)) return true;
  return config.tieEmbeddings && name === "lm_head.weight";
}

/** GPT-2's published files leave out the prefix. */
function plainName(config: ModelConfig, name: string): string {
  const bare = config.modelType === "gpt2" && /^(wte|wpe|h|ln_f)\./.test(name);
  return bare ? `transformer.${name}` : name;
}

function floats(name: string, entry: SafetensorsEntry): Float32Array {
  if (!["F64", "F32", "F16", "BF16"].includes(entry.dtype)) {
    throw new CheckpointError(
      `checkpoint: floats expected for ${name}, got ${entry.dtype}. Convert the file to F32.`,
    );
  }
  return toFloat32(entry);
}

/** A few of many, for messages. */
function some(names: readonly string[]): string {
  return names.length <= 4
    ? names.join(", ")
    : `${names.slice(0, 4).join(", ")} and ${names.length - 4} more`;
}

function checkNames(
  specs: readonly ParameterSpec[],
  got: ReadonlyMap<string, readonly number[]>,
  what: string,
): void {
  const wanted = new Set(specs.map((s) => s.name));
  const missing = specs.filter((s) => !got.has(s.name)).map((s) => s.name);
  const extra = [...got.keys()].filter((name) => !wanted.has(name));
  const misshapen = specs.flatMap(({ name, shape }) => {
    const have = got.get(name);
    if (!have || (have.length === shape.length && have.every((d, i) => d === shape[i]))) return [];
    return [`${name} ${show(have)} instead of ${show(shape)}`];
  });
  const faults = [
    missing.length > 0 ? `missing ${some(missing)}` : "",
    extra.length > 0 ? `unknown ${some(extra.map((n) => n.slice(0, 80)))}` : "",
    misshapen.length > 0 ? `misshapen ${some(misshapen)}` : "",
  ].filter((fault) => fault !== "");
  if (faults.length > 0) {
    throw new CheckpointError(
      `checkpoint: the ${specs.length} tensors of the configuration expected in ${what}, got ${faults.join("; ")}. Use the configuration that belongs to the file.`,
    );
  }
}
