import { beforeAll, expect, test } from "vitest";
import {
  decodeCheckpoint,
  encodeCheckpoint,
  loadCheckpoint,
  loadHuggingFace,
  parametersFrom,
  readWeights,
  saveCheckpoint,
  weightsSha256,
  writeWeights,
} from "../../src/model/checkpoint.ts";
import { modelConfig, toHuggingFace } from "../../src/model/config.ts";
import { memoryFiles } from "../../src/model/fs.browser.ts";
import { initializeParameters } from "../../src/model/parameters.ts";
import { readSafetensors, type SafetensorsEntry, writeSafetensors } from "../../src/model/safetensors.ts";
import { AdamW } from "../../src/tensor/optim.ts";
import { useBackend } from "../helpers/backend.ts";
import { golden, goldenJson } from "../helpers/golden.ts";

beforeAll(async () => {
  await useBackend();
});

const config = modelConfig({ vocabSize: 7, hiddenSize: 8, numLayers: 1, numHeads: 2, numKeyValueHeads: 1 });

test("weights, moments, configuration and metadata come back as they went", async () => {
  const params = initializeParameters(config, 5);
  const optimizer = new AdamW(params);
  const moments = new Map([["model.norm.weight", new Float32Array(8).fill(0.5)]]);
  writeWeights(optimizer.m, moments);
  const files = memoryFiles();
  await saveCheckpoint(files, "base.safetensors", {
    config,
    params,
    optimizer,
    metadata: { seed: "5", recipe: "none" },
  });
  const back = await loadCheckpoint(files, "base.safetensors");
  expect(back.config).toEqual(config);
  expect(back.metadata).toEqual(
    new Map([
      ["seed", "5"],
      ["recipe", "none"],
    ]),
  );
  expect(back.weights).toEqual(await readWeights(params));
  expect(back.optimizer?.m.get("model.norm.weight")).toEqual(moments.get("model.norm.weight"));
  expect(back.optimizer?.v.get("model.norm.weight")).toEqual(new Float32Array(8));
  expect(await weightsSha256(parametersFrom(back))).toBe(await weightsSha256(params));
});

test("one flipped bit among the values is found", async () => {
  const params = initializeParameters(config, 5);
  const bytes = await encodeCheckpoint({ config, params });
  for (const at of [bytes.length - 1, bytes.length - 200]) {
    const damaged = bytes.slice();
    damaged[at] ^= 1;
    expect(() => decodeCheckpoint(damaged)).toThrow(/the file is damaged/);
  }
  expect(() => decodeCheckpoint(bytes)).not.toThrow();
});

test("the hash is of the bytes in the order of names", async () => {
  const params = initializeParameters(config, 5);
  const weights = await readWeights(params);
  const names = [...weights.keys()].sort();
  const bytes = new Float32Array(names.flatMap((name) => Array.from(weights.get(name) as Float32Array)));
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  expect(await weightsSha256(params)).toBe(
    Array.from(digest, (b) => b.toString(16).padStart(2, "0")).join(""),
  );
  expect(await weightsSha256(initializeParameters(config, 5))).toBe(await weightsSha256(params));
  expect(await weightsSha256(initializeParameters(config, 6))).not.toBe(await weightsSha256(params));
});

test("what does not fit the configuration is named", async () => {
  const good = readSafetensors(await encodeCheckpoint({ config, params: initializeParameters(config, 5) }));
  const changed = (
    change: (tensors: Map<string, SafetensorsEntry>, metadata: Map<string, string>) => void,
  ) => {
    const [tensors, metadata] = [new Map(good.tensors), new Map(good.metadata)];
    change(tensors, metadata);
    const bytes = writeSafetensors(tensors, metadata);
    return () => decodeCheckpoint(bytes);
  };
  const entry = (shape: number[]): SafetensorsEntry => ({
    dtype: "F32",
    shape,
    data: new Float32Array(shape.reduce((a, b) => a * b, 1)),
  });
  const cases: [() => unknown, RegExp][] = [
    [changed((t) => t.delete("model.norm.weight")), /missing model\.norm\.weight/],
    [changed((t) => t.set("model.extra", entry([2]))), /unknown model\.extra/],
    [
      changed((t) => t.set("model.norm.weight", entry([9]))),
      /misshapen model\.norm\.weight \[9\] instead of \[8\]/,
    ],
    [
      changed((t) => t.set("model.norm.weight", { dtype: "I32", shape: [8], data: new Int32Array(8) })),
      /floats expected for model\.norm\.weight, got I32/,
    ],
    [changed((t) => t.set("optimizer.m.model.norm.weight", entry([8]))), /optimizer\.m, got missing/],
    [changed((_, m) => m.delete("naysay.config")), /a configuration in the metadata/],
    [changed((_, m) => m.set("naysay.config", "{")), /JSON expected/],
    [changed((_, m) => m.set("naysay.config", '{"vocabSize":7,"heads":3}')), /a valid configuration.*heads/],
    [() => decodeCheckpoint(writeSafetensors(good.tensors, good.metadata).subarray(0, 500)), /safetensors/],
  ];
  for (const [attempt, message] of cases) {
    expect(attempt).toThrow(message);
    expect(attempt).toThrow(expect.objectContaining({ name: "CheckpointError" }));
  }
});

test("files in Hugging Face's layout, with what they hold besides parameters", async () => {
  const files = memoryFiles();
  const put = async (name: string, shape: (path: string) => Promise<Uint8Array>) => {
    await files.mkdirp(name);
    const json = new TextEncoder().encode(JSON.stringify(await goldenJson(`torch/${name}/config.json`)));
    await files.writeFileAtomic(`${name}/config.json`, json);
    await files.writeFileAtomic(`${name}/model.safetensors`, await shape(`torch/${name}/model.safetensors`));
  };
  await put("gpt2", async (path) => {
    // As published: no prefix, and the causal masks as tensors.
    const { tensors } = readSafetensors(await golden(path));
    const bare = new Map([...tensors].map(([name, e]) => [name.replace(/^transformer\./, ""), e]));
    bare.set("h.0.attn.bias", { dtype: "F32", shape: [1, 1, 2, 2], data: new Float32Array(4) });
    return writeSafetensors(bare);
  });
  await put("llama", golden);
  const gpt2 = await loadHuggingFace(files, "gpt2");
  expect(gpt2.weights.get("transformer.wte.weight")?.length).toBe(59 * 32);
  const llama = await loadHuggingFace(files, "llama");
  expect(llama.optimizer).toBeNull();
  const again = decodeCheckpoint(
    await encodeCheckpoint({ config: llama.config, params: parametersFrom(llama) }),
  );
  expect(again.weights).toEqual(llama.weights);
  expect(toHuggingFace(again.config)).toMatchObject({ model_type: "llama", num_key_value_heads: 2 });
});
