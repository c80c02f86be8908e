/** Packages are found from their entry points, however deep those lie. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { installedPackage, packageVersion } from "../../src/cli/packageVersion.ts";

test.each(["index.cjs", "build/index.cjs", "build/cjs/index.cjs"])(
  "a package whose entry point is %s, and whose package.json is not exported",
  (entry) => {
    const root = mkdtempSync(join(tmpdir(), "naysay-package-"));
    try {
      const folder = join(root, "node_modules/@some/package");
      mkdirSync(join(folder, entry, ".."), { recursive: true });
      writeFileSync(join(folder, entry), "");
      const data = { name: "@some/package", version: "1.2.3", exports: { require: `./${entry}` } };
      writeFileSync(join(folder, "package.json"), JSON.stringify(data));
      // Another one on the way, which says only how its files are read.
      if (entry.includes("/")) writeFileSync(join(folder, entry, "../package.json"), '{"type":"commonjs"}');
      const from = join(root, "app.js");
      expect(installedPackage("@some/package", from)).toEqual({ folder, version: "1.2.3" });
      expect(installedPackage("@some/other", from)).toBeNull();
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  },
);

test("the version of what is installed here, and of what is not", () => {
  expect(packageVersion("webgpu")).toMatch(/^\d+\.\d+\.\d+/);
  expect(packageVersion("naysay-is-not-this")).toBeNull();
});
