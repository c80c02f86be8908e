/** What every implementation of `Files` must do, run against each. */

import { expect, test } from "vitest";
import type { Files } from "../../src/model/files.ts";
import { CheckpointError } from "../../src/tensor/errors.ts";

const bytes = (...values: number[]) => new Uint8Array(values);

/** Registers the tests; `root` gives a fresh folder that exists. */
export function filesSuite(name: string, open: () => Promise<{ files: Files; root: string }>): void {
  test(`${name}: writes, replaces and reads back`, async () => {
    const { files, root } = await open();
    const path = `${root}/a.bin`;
    expect(await files.exists(path)).toBe(false);
    const written = bytes(1, 2, 3);
    await files.writeFileAtomic(path, written);
    written[0] = 9; // the caller's array is its own again
    expect(await files.readFile(path)).toEqual(bytes(1, 2, 3));
    await files.writeFileAtomic(path, bytes(4));
    expect(await files.readFile(path)).toEqual(bytes(4));
    await files.writeFileAtomic(path, bytes());
    expect(await files.readFile(path)).toEqual(bytes());
    expect(await files.list(root)).toEqual(["a.bin"]); // no temporary file left
  });

  test(`${name}: appends lines`, async () => {
    const { files, root } = await open();
    await files.appendLine(`${root}/m.jsonl`, '{"a":1}');
    await files.appendLine(`${root}/m.jsonl`, "é");
    expect(new TextDecoder().decode(await files.readFile(`${root}/m.jsonl`))).toBe('{"a":1}\né\n');
  });

  test(`${name}: makes, lists and removes folders`, async () => {
    const { files, root } = await open();
    await files.mkdirp(`${root}/x/y/z`);
    await files.mkdirp(`${root}/x/y`);
    await files.writeFileAtomic(`${root}/x/b`, bytes(1));
    await files.writeFileAtomic(`${root}/x/a`, bytes(1));
    expect(await files.list(`${root}/x`)).toEqual(["a", "b", "y"]);
    expect(await files.exists(`${root}/x/y/z`)).toBe(true);
    await files.remove(`${root}/x`);
    await files.remove(`${root}/x`);
    expect(await files.exists(`${root}/x/a`)).toBe(false);
    expect(await files.list(root)).toEqual([]);
  });

  test(`${name}: names what is wrong`, async () => {
    const { files, root } = await open();
    await files.writeFileAtomic(`${root}/file`, bytes(1));
    const failures: (() => Promise<unknown>)[] = [
      () => files.readFile(`${root}/none`),
      () => files.list(`${root}/none`),
      () => files.writeFileAtomic(`${root}/none/a`, bytes(1)),
      () => files.writeFileAtomic(`${root}/file/a`, bytes(1)),
      () => files.mkdirp(`${root}/file/a`),
      () => files.appendLine(`${root}/file/a`, "x"),
    ];
    for (const fail of failures) {
      const error = await fail().catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(CheckpointError);
      const { message, cause } = error as CheckpointError;
      expect(message).toMatch(/^[a-zA-Z]+: .+ expected for .+, got .+\. .+\.$/);
      expect(message).not.toContain("See the cause");
      expect(cause).toBeDefined();
    }
    expect(await files.readFile(`${root}/file`)).toEqual(bytes(1));
  });
}
