/** Kept bases: given to a run that is about to begin, and to no other. */
import { expect, test } from "vitest";
import { BaseCache, type BaseIdentity } from "../../src/worker/baseCache.ts";
import { memoryFiles } from "../helpers/memoryFiles.ts";

const IN_RUN = "checkpoints/pretrained.safetensors";
const identity = (seed: number): BaseIdentity => ({
  task: { name: "countdown", config: {} },
  model: {},
  pretrain: {} as BaseIdentity["pretrain"],
  seed,
  adapter: { vendor: "v", description: "d", backend: "b", tier: "T0", software: true },
  version: "0",
});

test("a run gets the base of its like, and another run's folder is left alone", async () => {
  const files = memoryFiles();
  const cache = (out: string, seed = 1) => new BaseCache(files, out, identity(seed));
  const bytes = new Uint8Array([1, 2, 3]);
  await files.writeFileAtomic(`runs/a/${IN_RUN}`, bytes);
  await cache("runs/a").keep();
  await cache("runs/b").fetch();
  expect(files.content.get(`runs/b/${IN_RUN}`)).toEqual(bytes);
  // Of another seed: nothing is kept for it, and what was put there for a run that never began is none of its.
  await cache("runs/b", 2).fetch();
  expect(files.content.has(`runs/b/${IN_RUN}`)).toBe(false);
  // A run that was stopped while it pretrained: the folder may be of another run.
  await files.writeFileAtomic("runs/c/run.json", new Uint8Array());
  await cache("runs/c").fetch();
  expect(files.content.has(`runs/c/${IN_RUN}`)).toBe(false);
});

test("what a tab that was closed left half written goes with the next try, another base's stays", async () => {
  const files = memoryFiles();
  await files.writeFileAtomic(`runs/a/${IN_RUN}`, new Uint8Array([1]));
  const cache = new BaseCache(files, "runs/a", identity(1));
  await cache.keep();
  const [kept] = await files.list("bases");
  await files.remove(`bases/${kept}`);
  await files.writeFileAtomic(`bases/.${kept}.5f2a0000-0000-4000-8000-000000000000.tmp`, new Uint8Array());
  await files.writeFileAtomic(
    "bases/.other.safetensors.77b00000-0000-4000-8000-000000000000.tmp",
    new Uint8Array(),
  );
  await cache.keep();
  expect(await files.list("bases")).toEqual([
    ".other.safetensors.77b00000-0000-4000-8000-000000000000.tmp",
    kept,
  ]);
});
