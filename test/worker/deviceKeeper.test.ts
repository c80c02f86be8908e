/** The worker's one device: whoever asks after a loss gets the same new one. */
import { expect, test } from "vitest";
import { backend } from "../../src/tensor/backend.ts";
import { DeviceKeeper } from "../../src/worker/deviceKeeper.ts";

test("all who ask after one loss get the same device, and it is the current one", async () => {
  const keeper = new DeviceKeeper();
  const first = await keeper.open({ tier: "T0" });
  expect(await keeper.current()).toBe(first);
  first.device.gpu.destroy();
  await expect.poll(() => first.device.failure).not.toBeNull();
  const after = await Promise.all([keeper.current(), keeper.current(), keeper.current()]);
  expect(after[0]).not.toBe(first);
  expect(after[0].device.failure).toBeNull();
  for (const one of after) expect(one).toBe(after[0]);
  expect(await keeper.current()).toBe(after[0]);
  expect(backend()).toBe(after[0]);
  after[0].destroy();
});

test("who waits for a device while another tier is opened gets that one", async () => {
  const keeper = new DeviceKeeper();
  await keeper.open({});
  const [waiting, opened, again] = await Promise.all([
    keeper.current(),
    keeper.open({ tier: "T0" }),
    keeper.open({ tier: "T0" }),
  ]);
  expect(opened.device.info.tier).toBe("T0");
  expect(again).toBe(opened);
  expect(waiting).toBe(opened);
  expect(opened.device.failure).toBeNull();
  opened.destroy();
});

test("timestamps are a device of their own: without them the profiler is off, with them on where the adapter has them", async () => {
  const keeper = new DeviceKeeper();
  const plain = await keeper.open({ tier: "T0" });
  expect(plain.profiler).toBe(null);
  expect(await keeper.open({ tier: "T0", timestamps: false })).toBe(plain);
  const timed = await keeper.open({ tier: "T0", timestamps: true });
  expect(timed).not.toBe(plain);
  expect(timed.profiler !== null).toBe(timed.device.features.has("timestamp-query"));
  expect(await keeper.open({ tier: "T0", timestamps: true })).toBe(timed);
  timed.destroy();
});
