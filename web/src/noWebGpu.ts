/**
 * What a visitor without WebGPU can do, by browser, version and system. Source of the versions: the working group's
 * page https://github.com/gpuweb/gpuweb/wiki/Implementation-Status, as of April 2026.
 */

export interface BrowserFacts {
  userAgent: string;
  /** Whether the page is served over https or from localhost. */
  secure: boolean;
  /** Whether `navigator.gpu` is there. */
  hasApi: boolean;
}

export interface Browser {
  name: "Chrome" | "Edge" | "Firefox" | "Safari" | "another browser";
  /** Major version; 0 where it is not said. */
  version: number;
  system: "Windows" | "macOS" | "iOS" | "Android" | "ChromeOS" | "Linux" | "another system";
}

const SYSTEMS: [RegExp, Browser["system"]][] = [
  [/iPhone|iPad|iPod/, "iOS"],
  [/Android/, "Android"],
  [/CrOS/, "ChromeOS"],
  [/Windows/, "Windows"],
  [/Macintosh|Mac OS X/, "macOS"],
  [/Linux|X11/, "Linux"],
];

/** The more special first: everyone calls himself Chrome or Safari as well. */
const BROWSERS: [RegExp, Browser["name"]][] = [
  [/Edg(?:A|iOS)?\/(\d+)/, "Edge"],
  [/(?:Firefox|FxiOS)\/(\d+)/, "Firefox"],
  [/(?:Headless)?(?:Chrome|CriOS|Chromium)\/(\d+)/, "Chrome"],
  [/Version\/(\d+).*Safari/, "Safari"],
];

export function browserOf(userAgent: string): Browser {
  const system = SYSTEMS.find(([pattern]) => pattern.test(userAgent))?.[1] ?? "another system";
  for (const [pattern, name] of BROWSERS) {
    const found = pattern.exec(userAgent);
    if (found) return { name, version: Number(found[1]), system };
  }
  return { name: "another browser", version: 0, system };
}

const LINUX_FLAGS = [
  "--enable-unsafe-webgpu",
  "--ozone-platform=x11",
  "--use-angle=vulkan",
  "--enable-features=Vulkan,VulkanFromANGLE",
];

/** Sentences, the most useful first; what is typed stands between backticks. */
export function adviceFor({ userAgent, secure, hasApi }: BrowserFacts): string[] {
  const browser = browserOf(userAgent);
  if (!secure) {
    return [
      "Browsers give WebGPU to secure pages only. Open this page over https, or serve it from localhost.",
    ];
  }
  const known = browser.version > 0 ? `${browser.name} ${browser.version}` : browser.name;
  const here = `This looks like ${known} on ${browser.system}.`;
  return [`${here} ${own(browser, hasApi)}`, elsewhere(browser)];
}

function own(browser: Browser, hasApi: boolean): string {
  const { name, version, system } = browser;
  if (system === "iOS")
    return "Every browser there uses Safari's engine: WebGPU came with iOS 26. Update the system.";
  if (name === "Firefox") return firefox(version, system);
  if (name === "Safari") {
    return version < 26
      ? "WebGPU came with Safari 26. Update Safari or macOS."
      : "Safari 26 has WebGPU: check that it was not switched off under Develop, Feature Flags.";
  }
  if (name === "another browser") return "It gives no WebGPU.";
  const flags = name === "Edge" ? "edge" : "chrome";
  const accelerated = `Switch on "Use graphics acceleration when available" in the settings, restart, and see \`${flags}://gpu\`.`;
  if (system === "Linux") {
    const when =
      "It gives WebGPU by itself from 144 on with Intel graphics (Gen12 or newer) and from 147 on with NVIDIA's.";
    return `${when} Otherwise start it with ${LINUX_FLAGS.map((flag) => `\`${flag}\``).join(" ")}.`;
  }
  const since = system === "Android" ? 121 : 113;
  if (version > 0 && version < since) return `WebGPU came with version ${since}. Update it.`;
  if (system === "Android")
    return "It needs Android 12 and a GPU that is known to work: update the system and its drivers.";
  if (hasApi) return `It has WebGPU but found no adapter. ${accelerated}`;
  return `It should have WebGPU. ${accelerated} On Windows for ARM, enable \`${flags}://flags/#enable-unsafe-webgpu\`.`;
}

function firefox(version: number, system: Browser["system"]): string {
  const flag = "In `about:config`, `dom.webgpu.enabled` switches it on where it is built in.";
  if (system === "Windows") return version < 141 ? "WebGPU came with Firefox 141. Update it." : flag;
  if (system === "macOS")
    return `WebGPU came with Firefox 147 on Macs with Apple silicon (145 on macOS 26); not on Intel. ${flag}`;
  return `There, WebGPU is in Firefox Nightly only. ${flag}`;
}

function elsewhere({ name, system }: Browser): string {
  const other =
    system === "macOS" && name !== "Chrome"
      ? "Chrome 113 or newer"
      : "a current Chrome or Edge, or Safari 26 on a Mac";
  return `Another way: ${other}. And the same experiment runs in Node without any browser: the command stands below.`;
}
