/** What the page remembers, where the browser's storage takes nothing, or is forbidden altogether. */
import { afterEach, expect, test, vi } from "vitest";
import { recall, remember } from "../../web/src/memory.ts";

afterEach(() => vi.unstubAllGlobals());

const refuse = (): never => {
  throw new DOMException("full", "QuotaExceededError");
};

function storage(items: Record<string, string>, refused: Partial<Storage> = {}): void {
  vi.stubGlobal("localStorage", {
    getItem: (key: string) => items[key] ?? null,
    setItem: (key: string, value: string) => {
      items[key] = value;
    },
    removeItem: (key: string) => {
      delete items[key];
    },
    ...refused,
  });
}

test("storage that is read but takes nothing: what was remembered last is recalled", () => {
  storage({ "naysay.theme": "light" }, { setItem: refuse, removeItem: refuse });
  expect(recall("theme")).toBe("light");
  remember("theme", "dark");
  expect(recall("theme")).toBe("dark");
  remember("theme", null);
  expect(recall("theme")).toBeNull();
});

test("storage that is forbidden: the page's own memory", () => {
  storage({}, { getItem: refuse, setItem: refuse, removeItem: refuse });
  expect(recall("a")).toBeNull();
  remember("a", "1");
  expect(recall("a")).toBe("1");
});

test("storage that works again is what counts", () => {
  storage({}, { setItem: refuse });
  remember("b", "1");
  const items: Record<string, string> = {};
  storage(items);
  remember("b", "2");
  items["naysay.b"] = "3";
  expect(recall("b")).toBe("3");
});
