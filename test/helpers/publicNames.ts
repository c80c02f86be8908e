/** What is public: the names that the entries of package.json export, and the modules that they come from. */

import { existsSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { type ImportLine, importsOf } from "./imports.ts";
import { root, withoutComments } from "./sourceFiles.ts";

const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  exports: Record<string, string | { node?: string; default?: string }>;
};

/** The package's entries: specifier to source file, or to null for a file that is no module of src/. */
const entries = new Map(
  Object.entries(exports).map(([path, target]) => {
    const file = typeof target === "string" ? target : (target.default ?? target.node!);
    const source = relative(root, join(root, file.replace("/dist/", "/src/").replace(/\.js$/, ".ts")));
    return [join("naysay", path), existsSync(join(root, source)) ? source : null];
  }),
);

interface PublicNames {
  /** Names that the module exports. */
  names: Set<string>;
  /** `file#name` of each, where it is written and wherever it passes through. */
  origins: Set<string>;
}

const known = new Map<string, PublicNames>();

/** What a source file exports, followed through barrels. */
function exportsOf(file: string): PublicNames {
  const found = known.get(file);
  if (found) return found;
  const names = new Set<string>();
  const origins = new Set<string>();
  known.set(file, { names, origins });
  const text = readFileSync(join(root, file), "utf8");
  const exported = text.replace(/^import\b[^;]*;/gm, "");
  for (const line of importsOf(exported)) {
    const target = relative(root, join(root, dirname(file), line.specifier));
    if (!line.specifier.startsWith(".")) continue;
    exportsOf(target);
    line.names.forEach((name, i) => {
      names.add(line.as[i]);
      origins.add(`${target}#${name}`);
    });
  }
  const declared =
    /^export (?:async )?(?:abstract )?(?:const|let|function\*?|class|interface|type|enum) (\w+)/gm;
  for (const [, name] of withoutComments(text).matchAll(declared)) names.add(name);
  for (const name of names) origins.add(`${file}#${name}`);
  return { names, origins };
}

const origins = new Set([...entries.values()].flatMap((file) => (file ? [...exportsOf(file).origins] : [])));

/** What is wrong with an import of a page or an app, or `null`: it may take from src/ only what an entry exports. */
export function publicComplaint(path: string, { specifier, names }: ImportLine): string | null {
  const plain = specifier.replace(/\?.*$/, "");
  if (/^naysay(\/|$)/.test(plain)) {
    if (plain.startsWith("naysay/assets/")) return null;
    const file = entries.get(plain);
    if (!entries.has(plain)) return `imports ${plain}, which is no entry of the package`;
    const missing = file ? names.filter((name) => name !== "*" && !exportsOf(file).names.has(name)) : [];
    return missing.length > 0
      ? `imports ${missing.join(", ")} of ${plain}, which exports no such name`
      : null;
  }
  if (!specifier.startsWith(".")) return null;
  const target = relative(root, join(root, dirname(path), plain));
  if (target.startsWith("src/")) {
    const whole = [...entries.values()].includes(target);
    const hidden = names.filter((name) => (name === "*" ? !whole : !origins.has(`${target}#${name}`)));
    return hidden.length > 0
      ? `imports ${hidden.join(", ")} of ${target}, which no entry of the package exports`
      : null;
  }
  if (target.startsWith("dist/browser/")) return null;
  const app = path
    .split("/")
    .slice(0, path.startsWith("examples/") ? 2 : 1)
    .join("/");
  return target.startsWith(`${app}/`) ? null : `imports ${target}, which lies outside ${app}`;
}
