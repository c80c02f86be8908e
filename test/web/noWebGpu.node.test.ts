/** Advice to visitors without WebGPU, by what their browsers say of themselves. */
import { expect, test } from "vitest";
import { adviceFor, browserOf } from "../../web/src/noWebGpu.ts";

const MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)";
const WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)";
const LINUX = "Mozilla/5.0 (X11; Linux x86_64)";
const WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)";

const AGENTS = {
  chromeLinux: `${LINUX} ${WEBKIT} Chrome/140.0.0.0 Safari/537.36`,
  headlessLinux: `${LINUX} ${WEBKIT} HeadlessChrome/153.0.0.0 Safari/537.36`,
  chromeOldWindows: `${WINDOWS} ${WEBKIT} Chrome/109.0.0.0 Safari/537.36`,
  edgeWindows: `${WINDOWS} ${WEBKIT} Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0`,
  firefoxWindows: "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0",
  firefoxMac: "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:150.0) Gecko/20100101 Firefox/150.0",
  firefoxLinux: "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0",
  safariMac: `${MAC} AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15`,
  safariPhone:
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
  chromePhone:
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/140.0.0.0 Mobile/15E148 Safari/604.1",
  chromeAndroid: `Mozilla/5.0 (Linux; Android 10; K) ${WEBKIT} Chrome/116.0.0.0 Mobile Safari/537.36`,
  unknown: "Lynx/2.9.0",
};

test.each([
  ["chromeLinux", "Chrome", 140, "Linux"],
  ["headlessLinux", "Chrome", 153, "Linux"],
  ["chromeOldWindows", "Chrome", 109, "Windows"],
  ["edgeWindows", "Edge", 140, "Windows"],
  ["firefoxMac", "Firefox", 150, "macOS"],
  ["safariMac", "Safari", 17, "macOS"],
  ["safariPhone", "Safari", 17, "iOS"],
  ["chromePhone", "Chrome", 140, "iOS"],
  ["chromeAndroid", "Chrome", 116, "Android"],
  ["unknown", "another browser", 0, "another system"],
] as const)("%s is %s %i on %s", (agent, name, version, system) => {
  expect(browserOf(AGENTS[agent])).toEqual({ name, version, system });
});

test.each([
  ["chromeLinux", /`--enable-unsafe-webgpu` .*Vulkan/],
  ["chromeOldWindows", /came with version 113/],
  ["edgeWindows", /`edge:\/\/gpu`/],
  ["firefoxWindows", /came with Firefox 141/],
  ["firefoxMac", /Apple silicon.*about:config/],
  ["firefoxLinux", /Nightly/],
  ["safariMac", /came with Safari 26/],
  ["safariPhone", /iOS 26/],
  ["chromePhone", /iOS 26/],
  ["chromeAndroid", /came with version 121/],
  ["unknown", /gives no WebGPU/],
] as const)("%s hears what helps there", (agent, wanted) => {
  const [own, elsewhere] = adviceFor({ userAgent: AGENTS[agent], secure: true, hasApi: false });
  expect(own).toMatch(wanted);
  expect(elsewhere).toMatch(/Node/);
});

test("a page that is not secure hears that first, whatever the browser", () => {
  const advice = adviceFor({ userAgent: AGENTS.edgeWindows, secure: false, hasApi: false });
  expect(advice).toEqual([expect.stringMatching(/https.*localhost/)]);
});

test("WebGPU without an adapter is another matter than none", () => {
  const [own] = adviceFor({ userAgent: AGENTS.edgeWindows, secure: true, hasApi: true });
  expect(own).toMatch(/found no adapter.*graphics acceleration/);
});
