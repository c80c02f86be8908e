/** What to do about a machine on which Dawn finds no adapter: one answer per platform, chosen by looking. */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Folders in which Vulkan's loader looks for driver manifests on Linux. */
const MANIFEST_FOLDERS = ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"];

/** What a look at the machine finds; a parameter of `remedyFor`, so that a test can try every platform. */
export interface MachineFacts {
  platform: string;
  wsl: boolean;
  container: boolean;
  /** An NVIDIA driver is loaded or passed through. */
  nvidia: boolean;
  /** Some other GPU device node exists (/dev/dri/renderD*). */
  renderNode: boolean;
  /** File names of Vulkan driver manifests. */
  manifests: readonly string[];
  /** Variables that tell Vulkan's loader where drivers are, if any is set. */
  override?: string;
}

/** Paths of the Vulkan driver manifests on this machine. */
export function vulkanManifests(): string[] {
  return MANIFEST_FOLDERS.flatMap((folder) => {
    try {
      return readdirSync(folder)
        .filter((name) => name.endsWith(".json"))
        .map((name) => join(folder, name));
    } catch {
      return [];
    }
  });
}

/** Looks at this machine. */
export function machineFacts(): MachineFacts {
  const version = readText("/proc/version").toLowerCase();
  return {
    platform: process.platform,
    wsl: version.includes("microsoft"),
    container:
      existsSync("/.dockerenv") ||
      existsSync("/run/.containerenv") ||
      /docker|kubepods|containerd/.test(readText("/proc/1/cgroup")),
    nvidia: existsSync("/dev/nvidiactl") || existsSync("/proc/driver/nvidia/version"),
    renderNode: folderNames("/dev/dri").some((name) => name.startsWith("renderD")),
    manifests: vulkanManifests(),
    override: ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"]
      .flatMap((name) => (process.env[name] ? [`${name}=${process.env[name]}`] : []))
      .join(" "),
  };
}

/** True where the machine shows some sign of a GPU: if not, a probe for one can be saved. */
export function mayHaveGpu(facts: MachineFacts): boolean {
  return facts.platform !== "linux" || facts.wsl || facts.nvidia || facts.renderNode;
}

/** The remedy for this machine, where `init()` asks: nothing there reads NAYSAY_ADAPTER. */
export function vulkanRemedy(): string {
  return remedyFor(
    machineFacts(),
    "Without a GPU: Mesa's lavapipe 24 or newer (`mesa-vulkan-drivers`), which Vulkan finds by itself, or " +
      "`npm install --save-dev @sparticuz/chromium` (SwiftShader, Linux x64) and `node --import naysay/adapter`.",
  );
}

/** What the command line can do without a GPU. */
const SOFTWARE =
  "Without a GPU: `npm install --save-dev @sparticuz/chromium` (SwiftShader, Linux x64), or Mesa's lavapipe 24 or newer " +
  "and NAYSAY_ADAPTER=lavapipe.";

/** The remedy for a machine with such facts; `software` says what there is without a GPU. */
export function remedyFor(facts: MachineFacts, software = SOFTWARE): string {
  if (facts.platform === "darwin") {
    return "macOS: Dawn needs Metal, so macOS 13 or newer on real hardware; most virtual machines have no Metal device.";
  }
  if (facts.platform === "win32") {
    return "Windows: install the GPU maker's driver with Direct3D 12; over Remote Desktop or without one, Windows 10 or newer offers its software adapter WARP.";
  }
  if (facts.platform !== "linux") {
    return `${facts.platform}: the package webgpu has no binary for this system; use a browser.`;
  }
  if (facts.override) {
    return `Linux: ${facts.override} names the only drivers that Vulkan may use, and none of them gave an adapter: unset it, or correct the path. ${software}`;
  }
  if (facts.nvidia && !facts.manifests.some((path) => path.includes("nvidia"))) {
    const manifest = `{"file_format_version":"1.0.0","ICD":{"library_path":"libGLX_nvidia.so.0","api_version":"1.3.0"}}`;
    return (
      "Linux with an NVIDIA driver but no nvidia_icd.json: " +
      (facts.container
        ? "start the container with NVIDIA_DRIVER_CAPABILITIES=all (graphics is what Vulkan needs), install libvulkan1 and libegl1 in it, "
        : "install the driver's Vulkan part (Debian: nvidia-vulkan-icd, Ubuntu: libnvidia-gl-*) and libvulkan1, ") +
      `or write /etc/vulkan/icd.d/nvidia_icd.json holding ${manifest}. ${software}`
    );
  }
  if (facts.wsl) {
    return (
      "WSL: install Mesa's Vulkan drivers 23 or newer (`sudo apt install mesa-vulkan-drivers libvulkan1`; its dzn driver reaches " +
      `the Windows GPU), or run Node on Windows itself. ${software}`
    );
  }
  const drivers =
    "Linux: install a Vulkan driver and loader: Debian and Ubuntu `sudo apt install mesa-vulkan-drivers libvulkan1`, " +
    "Fedora `sudo dnf install mesa-vulkan-drivers vulkan-loader`, Arch `sudo pacman -S vulkan-icd-loader vulkan-radeon` " +
    "(or vulkan-intel, nvidia-utils). ";
  const pass =
    facts.container && !facts.renderNode ? "In a container pass the GPU in (`--device /dev/dri`). " : "";
  return drivers + pass + software;
}

function folderNames(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
