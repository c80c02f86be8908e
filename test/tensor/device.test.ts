/** The device in Node and in Chromium: real compute, tiers, and errors that reach the caller's await. */

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BufferUsage, MapMode, platform, ShaderStage } from "#gpu";
import { Device, requestDevice } from "../../src/tensor/device.ts";
import { CORE_LIMITS, RAISED_LIMITS, type Tier } from "../../src/tensor/tiers.ts";

const SQUARE = /* wgsl */ `
  @group(0) @binding(0) var<storage, read> x: array<f32>;
  @group(0) @binding(1) var<storage, read_write> y: array<f32>;
  @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
    if (id.x < arrayLength(&x)) { y[id.x] = x[id.x] * x[id.x] + 1.0; }
  }`;

/** Runs SQUARE over 0, 1, 2 ... n-1 and reads the result back. */
async function squares(device: Device, n: number): Promise<Float32Array> {
  const { gpu, queue } = device;
  const size = n * 4;
  const x = gpu.createBuffer({ label: "x", size, usage: BufferUsage.STORAGE | BufferUsage.COPY_DST });
  const y = gpu.createBuffer({ label: "y", size, usage: BufferUsage.STORAGE | BufferUsage.COPY_SRC });
  const out = gpu.createBuffer({ label: "out", size, usage: BufferUsage.MAP_READ | BufferUsage.COPY_DST });
  queue.writeBuffer(
    x,
    0,
    Float32Array.from({ length: n }, (_, i) => i),
  );
  const pipeline = await device.guard(
    gpu.createComputePipelineAsync({
      label: "square",
      layout: "auto",
      compute: { module: gpu.createShaderModule({ label: "square", code: SQUARE }), entryPoint: "main" },
    }),
  );
  const entries = [x, y].map((buffer, binding) => ({ binding, resource: { buffer } }));
  const encoder = gpu.createCommandEncoder({ label: "square" });
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, gpu.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
  pass.dispatchWorkgroups(Math.ceil(n / 64));
  pass.end();
  encoder.copyBufferToBuffer(y, 0, out, 0, size);
  queue.submit([encoder.finish()]);
  await device.guard(out.mapAsync(MapMode.READ));
  const result = new Float32Array(out.getMappedRange().slice(0));
  for (const buffer of [x, y, out]) buffer.destroy();
  return result;
}

/** A read-back that has nothing to do with any error. */
async function innocentMap(device: Device): Promise<void> {
  const buffer = device.gpu.createBuffer({ size: 16, usage: BufferUsage.MAP_READ | BufferUsage.COPY_DST });
  await buffer.mapAsync(MapMode.READ);
  buffer.destroy();
}

describe("a device", () => {
  let device: Device;
  beforeAll(async () => {
    device = await requestDevice({ label: "device-test" });
    console.log(
      `${platform}: ${device.describe()}, subgroups ${device.subgroupMinSize}-${device.subgroupMaxSize}`,
    );
  });
  afterAll(() => device?.destroy());

  test("computes", async () => {
    const got = await squares(device, 1000);
    expect(Array.from(got)).toEqual(Array.from({ length: 1000 }, (_, i) => i * i + 1));
  });

  test("reports who computes", () => {
    expect(device.info.vendor + device.info.description).not.toBe("");
    expect(device.info.tier).toBe(device.tier);
    expect(typeof device.info.software).toBe("boolean");
    expect(device.label).toBe("device-test");
    expect(device.failure).toBeNull();
  });

  test("holds the fixed limits of its tier, whatever the adapter has", () => {
    const { limits, tier } = device;
    const wanted = tier === "T0" ? CORE_LIMITS : { ...CORE_LIMITS, ...RAISED_LIMITS };
    expect(limits.maxStorageBuffersPerShaderStage).toBe(wanted.maxStorageBuffersPerShaderStage);
    expect(limits.maxComputeWorkgroupStorageSize).toBe(wanted.maxComputeWorkgroupStorageSize);
    expect(limits.maxComputeInvocationsPerWorkgroup).toBe(wanted.maxComputeInvocationsPerWorkgroup);
    expect(device.subgroupMaxSize > 0).toBe(device.features.has("subgroups"));
  });

  test("names naysay's constants as the platform does", () => {
    expect(ShaderStage.COMPUTE).toBe(4);
    if (platform === "browser") {
      expect(BufferUsage.STORAGE).toBe(GPUBufferUsage.STORAGE);
      expect(BufferUsage.QUERY_RESOLVE).toBe(GPUBufferUsage.QUERY_RESOLVE);
      expect(MapMode.READ).toBe(GPUMapMode.READ);
    }
  });
});

test("a forced T0 has the core limits and no optional feature", async () => {
  const device = await requestDevice({ tier: "T0", timestamps: false });
  expect(device.tier).toBe("T0");
  for (const [name, value] of Object.entries(CORE_LIMITS)) {
    expect(device.limits[name as keyof typeof CORE_LIMITS], name).toBe(value);
  }
  expect([...device.features].filter((name) => name !== "core-features-and-limits")).toEqual([]);
  expect([device.subgroupMinSize, device.subgroupMaxSize, device.immediates]).toEqual([0, 0, false]);
  expect((await squares(device, 70))[69]).toBe(69 * 69 + 1);
  device.destroy();
});

test("timestamps come where asked for, at any tier", async () => {
  const device = await requestDevice({ tier: "T0", timestamps: true });
  expect(device.features.has("timestamp-query")).toBe(true);
  device.destroy();
});

test("an unknown tier is refused before any GPU call", async () => {
  await expect(requestDevice({ tier: "T9" as Tier })).rejects.toMatchObject({
    name: "ConfigError",
    message: expect.stringContaining("T0, T1, T2, T3 or T4"),
  });
});

test("a tier above the adapter's is refused with the reason", async () => {
  const best = await requestDevice();
  best.destroy();
  if (best.tier === "T3") return;
  await expect(requestDevice({ tier: "T3" })).rejects.toMatchObject({
    name: "DeviceError",
    message: expect.stringContaining("has no feature"),
  });
});

test("a lost device rejects what waits, and all that comes after, with DeviceLostError", async () => {
  const device = await requestDevice({ label: "to-be-lost" });
  const seen: string[] = [];
  device.onFailure((error) => seen.push(error.name));
  const waiting = device.guard(new Promise(() => {}));
  device.gpu.destroy();
  const lost = { name: "DeviceLostError", message: expect.stringContaining('"to-be-lost"') };
  await expect(waiting).rejects.toMatchObject(lost);
  await expect(device.guard(innocentMap(device))).rejects.toMatchObject(lost);
  await expect(device.guard(Promise.resolve(1))).rejects.toMatchObject(lost);
  expect(seen).toEqual(["DeviceLostError"]);
  expect(device.takeFailure()?.name).toBe("DeviceLostError");
  expect(device.failure?.name).toBe("DeviceLostError");
});

test("a map that the loss cut off rejects with DeviceLostError", async () => {
  const device = await requestDevice();
  const mapped = device.guard(innocentMap(device));
  device.destroy();
  await expect(mapped).rejects.toMatchObject({ name: "DeviceLostError" });
});

test("an uncaptured validation error rejects the next await with DeviceError", async () => {
  const device = await requestDevice({ label: "strict" });
  device.gpu.createBuffer({
    label: "impossible",
    size: 16,
    usage: BufferUsage.MAP_READ | BufferUsage.MAP_WRITE,
  });
  await expect(device.guard(innocentMap(device))).rejects.toMatchObject({
    name: "DeviceError",
    message: expect.stringMatching(/strict.*impossible/s),
  });
  expect(device.takeFailure()?.name).toBe("DeviceError");
  expect(device.failure).toBeNull();
  await device.guard(innocentMap(device));
  device.destroy();
});

test("a submission that fails validation rejects the next await", async () => {
  const device = await requestDevice();
  const small = device.gpu.createBuffer({
    label: "small",
    size: 4,
    usage: BufferUsage.COPY_SRC | BufferUsage.COPY_DST,
  });
  const encoder = device.gpu.createCommandEncoder({ label: "copy-too-much" });
  encoder.copyBufferToBuffer(small, 0, small, 0, 4096);
  device.queue.submit([encoder.finish()]);
  await expect(device.guard(device.queue.onSubmittedWorkDone())).rejects.toMatchObject({
    name: "DeviceError",
  });
  device.destroy();
});

test("a kernel that does not compile rejects with ShaderError", async () => {
  const device = await requestDevice();
  const code = "@compute @workgroup_size(1) fn main() { let x: f32 = nonsense(1.0); }";
  const module = device.gpu.createShaderModule({ label: "broken-kernel", code });
  const compute = { module, entryPoint: "main" };
  const built = device.gpu.createComputePipelineAsync({ label: "broken-kernel", layout: "auto", compute });
  await expect(device.guard(built)).rejects.toMatchObject({
    name: "ShaderError",
    message: expect.stringContaining("broken-kernel"),
  });
  device.destroy();
});

test("naysay's own errors pass through a guard unchanged", async () => {
  const device = await requestDevice();
  const own = await device.guard(requestDevice({ tier: "T9" as Tier })).catch((error: Error) => error);
  expect((own as Error).name).toBe("ConfigError");
  device.destroy();
});

describe("errors that no adapter gives on demand", () => {
  /** A device whose loss and errors are the test's to send. */
  function fake() {
    const events = new EventTarget();
    let lose: (info: { reason: string; message: string }) => void = () => {};
    const gpu = {
      label: "fake",
      queue: {},
      limits: {},
      features: new Set(),
      adapterInfo: {},
      lost: new Promise((resolve) => {
        lose = resolve;
      }),
      addEventListener: events.addEventListener.bind(events),
    };
    const info = { vendor: "v", architecture: "", description: "", backend: "", driver: "", software: false };
    const device = new Device(
      gpu as unknown as GPUDevice,
      { ...info, tier: "T0", determinism: "repeatable" },
      false,
    );
    const report = (kind: string, message: string) => {
      const error = new { [kind]: class extends Error {} }[kind](message);
      events.dispatchEvent(Object.assign(new Event("uncapturederror", { cancelable: true }), { error }));
    };
    return { device, report, lose: (message: string) => lose({ reason: "unknown", message }) };
  }

  test("out of memory says what to do", async () => {
    const { device, report } = fake();
    const waiting = device.guard(new Promise(() => {}));
    report("GPUOutOfMemoryError", "no room");
    await expect(waiting).rejects.toMatchObject({
      name: "DeviceError",
      message: expect.stringMatching(/micro-batch/),
    });
  });

  test("a reset driver is a loss, and the loss outranks an earlier error", async () => {
    const { device, report, lose } = fake();
    report("GPUInternalError", "odd");
    lose("driver was reset");
    await expect(device.guard(new Promise(() => {}))).rejects.toMatchObject({ name: "DeviceError" });
    expect(device.failure).toMatchObject({
      name: "DeviceLostError",
      message: expect.stringContaining("reset"),
    });
  });

  test("a map rejected just before the news of the loss is a loss", async () => {
    const { device, lose } = fake();
    const waiting = device.guard(Promise.reject(new Error("map aborted")));
    setTimeout(() => lose("gone"), 1);
    await expect(waiting).rejects.toMatchObject({ name: "DeviceLostError" });
  });

  test("a rejection that is nobody's loss keeps its cause", async () => {
    const cause = new Error("map aborted");
    await expect(fake().device.guard(Promise.reject(cause))).rejects.toMatchObject({
      name: "DeviceError",
      cause,
    });
  });

  test("a listener that was taken off hears nothing", async () => {
    const { device, report } = fake();
    const heard: string[] = [];
    device.onFailure((error) => heard.push(error.name))();
    device.onFailure((error) => heard.push(error.message));
    report("GPUValidationError", "bad");
    expect(heard).toEqual(['device: "fake" reported: bad']);
  });
});
