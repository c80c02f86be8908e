/**
 * What this adapter can do, measured with kernels that do nothing else: bytes copied a second, multiply-adds a second, and at T4
 * those of subgroup matrices.
 * Several ways of each are tried, the best is the ceiling. One submission repeats the work until it takes 20 ms or more, so
 * that the cost of submitting does not count.
 */

import type { Device } from "../tensor/device.ts";
import { DeviceError } from "../tensor/errors.ts";
import { BufferUsage, MapMode } from "../tensor/gpuConstants.ts";
import type { MatrixConfig } from "../tensor/tiers.ts";
import { FEWEST, wallSamples } from "./measure.ts";
import type { MeasureOptions } from "./result.ts";
import { summarize, type Timing } from "./stats.ts";

/** The fastest way to do something, and what others gave. `ms` are those of one repeat. */
export interface Ceiling extends Timing {
  how: string;
  others: { how: string; rate: number }[];
}

export interface Ceilings {
  copy: Ceiling & { gbs: number; bytes: number };
  fma: Ceiling & { gflops: number };
  /** By subgroup matrices of f16 with sums in f32; null below T4. */
  matrix: (Ceiling & { gflops: number }) | null;
}

/** One way to do it: `amount` is what a repeat does, in bytes or operations. */
interface Way {
  how: string;
  amount: number;
  run(repeats: number): Promise<void>;
}

interface Effort {
  time: number;
  /** ms that a submission takes at least. */
  least: number;
  signal?: AbortSignal;
}

/** A submission takes at least this long, ms, where it is to be measured; while looking for the best way, a quarter. */
const LEAST_MS = 20;
/** Invocations of the multiply-add kernel: several for each lane that a GPU, or a processor, may have. */
const INVOCATIONS = { gpu: 1 << 18, software: 1 << 13, quick: 1 << 10 };
/** Multiply-adds of a chain in one turn of the loop. */
const UNROLLED = 8;

/** One vec4 an invocation, a grid of two axes where one would be too long. */
const copyShader = (workgroup: number): string => /* wgsl */ `
@group(0) @binding(0) var<storage, read> source: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> copy: array<vec4<f32>>;
@compute @workgroup_size(${workgroup})
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = id.y * groups.x * ${workgroup}u + id.x;
  if (i < arrayLength(&source)) { copy[i] = source[i]; }
}`;

interface ChainShape {
  chains: number;
  workgroup: number;
  spelling: string;
}

/**
 * Chains x = x * m + c of vec4 that do not wait for each other. The factors come from memory and the sum goes there, so
 * nothing can be computed before or left out.
 */
function chainShader({ chains, workgroup, spelling }: ChainShape): string {
  const each = (text: (k: number) => string): string =>
    Array.from({ length: chains }, (_, k) => text(k)).join("\n");
  const step = (k: number): string =>
    spelling === "fma" ? `x${k} = fma(x${k}, m, c);` : `x${k} = x${k} * m + c;`;
  return /* wgsl */ `
struct Params { m: f32, c: f32, turns: u32, unused: u32 }
@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read_write> result: array<f32>;
@compute @workgroup_size(${workgroup})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let m = vec4<f32>(params.m);
  let c = vec4<f32>(params.c);
  let first = f32(id.x % 4u);
  ${each((k) => `var x${k} = vec4<f32>(first, first + 1.0, first + 2.0, first + 3.0) + f32(${k});`)}
  for (var turn = 0u; turn < params.turns; turn++) {
    ${Array.from({ length: UNROLLED }, () => each(step)).join("\n")}
  }
  result[id.x] = dot(${Array.from({ length: chains }, (_, k) => `x${k}`).join(" + ")}, vec4<f32>(1.0));
}`;
}

/** Matrix products that each subgroup does, on a GPU and where a processor computes. */
const MATRIX_STEPS = { gpu: 512, software: 16 };

/**
 * Sums of matrix products that do not wait for each other, r = r + left right, where no two right matrices are known to be equal. All
 * elements are one half; every sum is stored.
 */
function matrixShader({ m, n, k }: MatrixConfig, chains: number, workgroup: number, lanes: number): string {
  const each = (text: (i: number) => string): string =>
    Array.from({ length: chains }, (_, i) => text(i)).join("\n");
  const rights = (chains * n * k) / 4;
  return /* wgsl */ `
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
struct Params { x: f32, turns: u32 }
@group(0) @binding(0) var<storage, read> params: Params;
@group(0) @binding(1) var<storage, read_write> result: array<f32>;
var<workgroup> a: array<vec4<f16>, ${(m * k) / 4}>;
var<workgroup> b: array<vec4<f16>, ${rights}>;
@compute @workgroup_size(${workgroup})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32, @builtin(subgroup_id) subgroup: u32) {
  for (var i = lane; i < ${(m * k) / 4}u; i += ${workgroup}u) { a[i] = vec4<f16>(f16(params.x)); }
  for (var i = lane; i < ${rights}u; i += ${workgroup}u) { b[i] = vec4<f16>(f16(params.x)); }
  workgroupBarrier();
  let left = subgroupMatrixLoad<subgroup_matrix_left<f16, ${k}, ${m}>, row_major>(&a, 0u, ${k / 4}u);
  ${each((i) => `let right${i} = subgroupMatrixLoad<subgroup_matrix_right<f16, ${n}, ${k}>, row_major>(&b, ${(i * n * k) / 4}u, ${n / 4}u);`)}
  ${each((i) => `var r${i} = subgroup_matrix_result<f32, ${n}, ${m}>();`)}
  for (var turn = 0u; turn < params.turns; turn++) {
    ${each((i) => `r${i} = subgroupMatrixMultiplyAccumulate(left, right${i}, r${i});`)}
  }
  let at = (group.x * ${workgroup / lanes}u + subgroup) * ${chains * m * n}u;
  ${each((i) => `subgroupMatrixStore<row_major>(&result, at + ${i * m * n}u, r${i}, ${n}u);`)}
}`;
}

/** What invocation `id` of `chainShader` leaves, in float64: x after n steps is l + (x0 - l) m^n with l = c / (1 - m). */
export function chainResult(id: number, chains: number, m: number, c: number, steps: number): number {
  const limit = c / (1 - m);
  const decay = m ** steps;
  let sum = 0;
  for (let k = 0; k < chains; k++) {
    for (let lane = 0; lane < 4; lane++) sum += limit + ((id % 4) + lane + k - limit) * decay;
  }
  return sum;
}

/** The smallest power of two repeats with which `run(repeats)` takes `least` ms. */
async function repeatsFor(run: Way["run"], least: number): Promise<number> {
  await run(1);
  for (let repeats = 1; ; repeats *= 2) {
    const begun = performance.now();
    await run(repeats);
    if (performance.now() - begun >= least) return repeats;
  }
}

/** Ways that are measured after all were looked at. */
const FINALISTS = 3;

/**
 * Looks at every way for a moment and measures the best of them in turns: `ways` have a name, `run(repeats)` and `amount`, what
 * a repeat does. Work beside this one can only slow a sample down, so the ceiling is the fastest sample's rate.
 */
async function best(
  ways: readonly Way[],
  { time, least, signal }: Effort,
): Promise<Ceiling & { rate: number }> {
  const looked: { way: Way; rate: number }[] = [];
  for (const way of ways) {
    const repeats = await repeatsFor(way.run, least / 4);
    signal?.throwIfAborted();
    const samples = await wallSamples(() => way.run(repeats), { time: 0, fewest: 3, warmup: 0 });
    looked.push({ way, rate: (way.amount * repeats) / Math.min(...samples) / 1e6 });
  }
  looked.sort((a, b) => b.rate - a.rate);
  const finalists: { way: Way; repeats: number; times: number[] }[] = [];
  for (const { way } of looked.slice(0, FINALISTS)) {
    finalists.push({ way, repeats: await repeatsFor(way.run, least), times: [] });
  }
  const end = performance.now() + time;
  for (let round = 0; round < FEWEST || performance.now() < end; round++) {
    for (const { way, repeats, times } of finalists) {
      signal?.throwIfAborted();
      const begun = performance.now();
      await way.run(repeats);
      times.push((performance.now() - begun) / repeats);
    }
  }
  const ranked = finalists
    .map(({ way, times }) => ({ way, times, rate: way.amount / Math.min(...times) / 1e6 }))
    .sort((a, b) => b.rate - a.rate);
  const [{ way, times, rate }] = ranked;
  const others = [...ranked.slice(1), ...looked.slice(FINALISTS)];
  return {
    ...summarize(times),
    rate,
    how: way.how,
    others: others.map((o) => ({ how: o.way.how, rate: o.rate })),
  };
}

async function pipelineOf(device: Device, code: string): Promise<GPUComputePipeline> {
  const module = device.gpu.createShaderModule({ label: "bench.ceiling", code });
  return device.gpu.createComputePipelineAsync({
    label: "bench.ceiling",
    layout: "auto",
    compute: { module, entryPoint: "main" },
  });
}

/** Dispatches a pipeline `repeats` times in one pass and waits. */
async function dispatch(
  device: Device,
  pipeline: GPUComputePipeline,
  buffers: readonly GPUBuffer[],
  [x, y]: readonly [number, number],
  repeats: number,
): Promise<void> {
  const group = device.gpu.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })),
  });
  const encoder = device.gpu.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, group);
  for (let i = 0; i < repeats; i++) pass.dispatchWorkgroups(x, y);
  pass.end();
  device.queue.submit([encoder.finish()]);
  await device.guard(device.queue.onSubmittedWorkDone());
}

/** Floats of a buffer from `offset` on. */
async function readFloats(
  device: Device,
  buffer: GPUBuffer,
  offset: number,
  count: number,
): Promise<Float32Array> {
  const size = count * 4;
  const staging = device.gpu.createBuffer({ size, usage: BufferUsage.MAP_READ | BufferUsage.COPY_DST });
  const encoder = device.gpu.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, offset, staging, 0, size);
  device.queue.submit([encoder.finish()]);
  await device.guard(staging.mapAsync(MapMode.READ));
  const floats = new Float32Array(staging.getMappedRange().slice(0));
  staging.destroy();
  return floats;
}

/** Bytes a second that a copy reads and writes, both counted: by kernels of vec4 and by copyBufferToBuffer. */
async function copyCeiling(device: Device, effort: Effort, size: number): Promise<Ceilings["copy"]> {
  const usage = BufferUsage.STORAGE | BufferUsage.COPY_SRC | BufferUsage.COPY_DST;
  const [source, copy] = ["source", "copy"].map((label) =>
    device.gpu.createBuffer({ label: `bench.${label}`, size, usage }),
  );
  const pattern = Float32Array.from({ length: size / 4 }, (_, i) => i % 4093);
  device.queue.writeBuffer(source, 0, pattern);
  const ways: Way[] = [];
  for (const workgroup of [64, 256]) {
    const pipeline = await pipelineOf(device, copyShader(workgroup));
    const groups = size / 16 / workgroup;
    const x = Math.min(groups, 65535);
    const grid = [x, Math.ceil(groups / x)] as const;
    const run = (repeats: number) => dispatch(device, pipeline, [source, copy], grid, repeats);
    ways.push({ how: `vec4 kernel, workgroups of ${workgroup}`, run, amount: 2 * size });
  }
  const run = async (repeats: number) => {
    const encoder = device.gpu.createCommandEncoder();
    for (let i = 0; i < repeats; i++) encoder.copyBufferToBuffer(source, 0, copy, 0, size);
    device.queue.submit([encoder.finish()]);
    await device.guard(device.queue.onSubmittedWorkDone());
  };
  ways.push({ how: "copyBufferToBuffer", run, amount: 2 * size });
  for (const way of ways) {
    const clear = device.gpu.createCommandEncoder();
    clear.clearBuffer(copy);
    device.queue.submit([clear.finish()]);
    await way.run(1);
    const end = await readFloats(device, copy, size - 4096, 1024);
    if (end.some((x, i) => x !== pattern[pattern.length - 1024 + i])) {
      throw new DeviceError(
        `bench: a whole copy expected of ${way.how}, got another end. Do not trust this adapter.`,
      );
    }
  }
  const { rate, ...found } = await best(ways, effort);
  source.destroy();
  copy.destroy();
  return { ...found, gbs: rate, bytes: size };
}

/** Multiply-adds a second, two operations each, over chain counts, workgroup sizes and both spellings. */
async function fmaCeiling(
  device: Device,
  effort: Effort,
  { invocations, turns }: { invocations: number; turns: number },
): Promise<Ceilings["fma"]> {
  const steps = turns * UNROLLED;
  const m = Math.fround(1 - 1 / steps);
  const c = Math.fround(1 / steps);
  const params = device.gpu.createBuffer({ size: 16, usage: BufferUsage.STORAGE | BufferUsage.COPY_DST });
  const result = device.gpu.createBuffer({
    size: invocations * 4,
    usage: BufferUsage.STORAGE | BufferUsage.COPY_SRC,
  });
  const data = new DataView(new ArrayBuffer(16));
  data.setFloat32(0, m, true);
  data.setFloat32(4, c, true);
  data.setUint32(8, turns, true);
  device.queue.writeBuffer(params, 0, data.buffer);
  const ways: Way[] = [];
  for (const spelling of ["a * b + c", "fma"]) {
    for (const chains of [4, 8]) {
      for (const workgroup of [64, 256]) {
        const shape = { spelling, chains, workgroup };
        const pipeline = await pipelineOf(device, chainShader(shape));
        const run = (repeats: number) =>
          dispatch(device, pipeline, [params, result], [invocations / workgroup, 1], repeats);
        const how = `${spelling}, ${chains} chains of vec4, workgroups of ${workgroup}`;
        await run(1);
        const sums = await readFloats(device, result, 0, 4);
        sums.forEach((sum, id) => {
          const expected = chainResult(id, chains, m, c, steps);
          // float32 loses a unit in the last place a step at most: steps x 6e-8 of the value.
          if (!(Math.abs(sum - expected) <= steps * 1e-7 * expected)) {
            throw new DeviceError(
              `bench: about ${expected} expected of ${how}, got ${sum}. Do not trust this adapter.`,
            );
          }
        });
        ways.push({ how, run, amount: invocations * steps * chains * 4 * 2 });
      }
    }
  }
  const { rate, ...found } = await best(ways, effort);
  params.destroy();
  result.destroy();
  return { ...found, gflops: rate };
}

/** Multiply-adds a second of a tier's subgroup matrices, over chain counts and workgroup sizes. */
async function matrixCeiling(
  device: Device,
  effort: Effort,
  config: MatrixConfig,
  subgroups: number,
): Promise<NonNullable<Ceilings["matrix"]>> {
  const { m, n, k, lanes } = config;
  const turns = MATRIX_STEPS[device.info.software ? "software" : "gpu"];
  const params = device.gpu.createBuffer({ size: 16, usage: BufferUsage.STORAGE | BufferUsage.COPY_DST });
  const data = new DataView(new ArrayBuffer(16));
  data.setFloat32(0, 0.5, true);
  data.setUint32(4, turns, true);
  device.queue.writeBuffer(params, 0, data.buffer);
  const ways: Way[] = [];
  const results: GPUBuffer[] = [];
  for (const chains of [4, 8]) {
    const usage = BufferUsage.STORAGE | BufferUsage.COPY_SRC;
    const result = device.gpu.createBuffer({ size: subgroups * chains * m * n * 4, usage });
    results.push(result);
    for (const workgroup of [4 * lanes, 8 * lanes].filter((size) => size <= 256)) {
      const pipeline = await pipelineOf(device, matrixShader(config, chains, workgroup, lanes));
      const grid = [(subgroups * lanes) / workgroup, 1] as const;
      const run = (repeats: number) => dispatch(device, pipeline, [params, result], grid, repeats);
      const how = `${m}x${n}x${k}, ${chains} chains, workgroups of ${workgroup}`;
      await run(1);
      const sums = await readFloats(device, result, result.size - 16, 4);
      const expected = turns * k * 0.25;
      if (sums.some((sum) => sum !== expected)) {
        throw new DeviceError(
          `bench: ${expected} expected of ${how}, got ${sums.join(", ")}. Do not trust this adapter.`,
        );
      }
      ways.push({ how, run, amount: subgroups * chains * turns * m * n * k * 2 });
    }
  }
  const { rate, ...found } = await best(ways, effort);
  for (const buffer of [params, ...results]) buffer.destroy();
  return { ...found, gflops: rate };
}

/** All ceilings. `quick` takes small buffers and few steps: enough to see that everything works, not what it gives. */
export async function measureCeilings(
  device: Device,
  { time, quick, signal }: Pick<MeasureOptions, "time" | "quick" | "signal">,
): Promise<Ceilings> {
  const least = quick ? 1 : LEAST_MS;
  const effort = { time, least, signal };
  const copy = await copyCeiling(device, effort, quick ? 1 << 20 : 64 << 20);
  const invocations = INVOCATIONS[quick ? "quick" : device.info.software ? "software" : "gpu"];
  const fma = await fmaCeiling(device, effort, { invocations, turns: quick ? 16 : 64 });
  const subgroups = quick ? 16 : device.info.software ? 128 : 8192;
  const matrix = device.matrix ? await matrixCeiling(device, effort, device.matrix, subgroups) : null;
  return { copy, fma, matrix };
}
