/** Import and export lines of a source text, for the tests that read source. */

import { withoutComments } from "./sourceFiles.ts";

export interface ImportLine {
  specifier: string;
  /** `import()`: only when it is asked for. */
  lazy: boolean;
  /** Names as the other module has them: `*` for all of it, `default`; none where it is only loaded. */
  names: string[];
  /** The same names as this module has them. */
  as: string[];
  line: number;
}

/** The names of a clause such as `type A, b, * as c, { d as e, type F }`: theirs, and ours. */
function namesOf(clause: string): { names: string[]; as: string[] } {
  const [, outside, inside = ""] = clause.match(/^([^{]*)(?:\{([^}]*)\})?/s) as RegExpMatchArray;
  const parts = (text: string) =>
    text
      .split(",")
      .map((part) => part.trim().replace(/^type\s+/, ""))
      .filter(Boolean);
  const pairs = parts(inside).map((part) => part.split(/\s+as\s+/));
  for (const part of parts(outside)) {
    if (part !== "type")
      pairs.push(part.startsWith("*") ? ["*", part.replace(/^\*\s*(as\s+)?/, "")] : ["default", part]);
  }
  return { names: pairs.map(([name]) => name), as: pairs.map(([name, alias]) => alias ?? name) };
}

/** Every import, and every export from another module; comments do not count. */
export function importsOf(text: string): ImportLine[] {
  const code = withoutComments(text);
  const found: ImportLine[] = [];
  const add = (match: RegExpMatchArray, specifier: string, lazy: boolean, clause: string) =>
    found.push({ specifier, lazy, ...namesOf(clause), line: code.slice(0, match.index).split("\n").length });
  for (const match of code.matchAll(/^\s*(?:import|export)\b([^;"'`]*?)\bfrom\s*["']([^"']+)["']/gm))
    add(match, match[2], false, match[1]);
  for (const match of code.matchAll(/^\s*import\s*["']([^"']+)["']/gm)) add(match, match[1], false, "");
  for (const match of code.matchAll(/\bimport\(\s*["']([^"']+)["']/g)) add(match, match[1], true, "*");
  return found;
}
