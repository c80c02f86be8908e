/** JSON files that flags name, and errors that say which file and which key. */

import { readFileSync } from "node:fs";
import { ConfigError } from "../tensor/errors.ts";
import { show } from "../tensor/validate.ts";

/** The object in a JSON file. Throws `ConfigError`, which names flag and file; `example` is what could stand there. */
export function readJsonObject(flag: string, path: string, example: string): Record<string, unknown> {
  const text = readText(flag, path);
  if (text.trim() === "")
    throw new ConfigError(`${flag}: an object expected in ${path}, got an empty file. Write ${example}.`);
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch (cause) {
    const reason = reasonOf((cause as Error).message, text);
    throw new ConfigError(
      `${flag}: JSON expected in ${path}, got other text: ${reason}. Check commas, quotes and brackets.`,
      { cause },
    );
  }
  if (found !== null && typeof found === "object" && !Array.isArray(found))
    return found as Record<string, unknown>;
  throw new ConfigError(`${flag}: an object expected in ${path}, got ${show(found)}. Write ${example}.`);
}

/** Editors of Windows begin a file with a mark of its byte order, and PowerShell's `>` writes UTF-16. */
const BYTE_ORDER_MARK = /^\uFEFF/;
const UTF16 = /^(\xFF\xFE|\xFE\xFF)/;

function readText(flag: string, path: string): string {
  const bytes = readBytes(flag, path);
  if (UTF16.test(bytes.toString("latin1", 0, 2))) {
    throw new ConfigError(`${flag}: UTF-8 expected in ${path}, got UTF-16. Save the file as UTF-8.`);
  }
  return bytes.toString("utf8").replace(BYTE_ORDER_MARK, "");
}

function readBytes(flag: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const got =
      code === "ENOENT"
        ? `no file at ${path}`
        : code === "EISDIR"
          ? `a folder, ${path}`
          : `${path}, which cannot be read: ${message}`;
    throw new ConfigError(`${flag}: a JSON file expected, got ${got}. Check the path.`, { cause });
  }
}

/** What V8 says of a text in one line, with the place as an editor shows it. */
function reasonOf(message: string, text: string): string {
  const plain = message.replace(/ \(line \d+ column \d+\)/, "").replace(/\s+/g, " ");
  return plain.replace(/(?: in JSON)? at position (\d+)/, (_, position) => {
    const before = text.slice(0, Number(position)).split("\n");
    return ` at line ${before.length}, column ${before[before.length - 1].length + 1}`;
  });
}

/**
 * What `make` makes of `changes`, some of which are a file's. A `ConfigError` names the file, unless `others`, those that are
 * not the file's, are refused alike.
 */
export function madeFrom<C, T>(
  flag: string,
  path: string | undefined,
  { changes, others }: { changes: C; others: C },
  make: (changes: C) => T,
): T {
  try {
    return make(changes);
  } catch (error) {
    if (path === undefined || !(error instanceof ConfigError)) throw error;
    if (refusal(() => make(others)) === error.message) throw error;
    throw new ConfigError(`${flag}: ${path}: ${error.message}`, { cause: error });
  }
}

function refusal(make: () => unknown): string | null {
  try {
    make();
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}
