/** Who runs the check. */

interface Host {
  Deno?: { version?: { deno?: string }; build?: { os?: string; arch?: string } };
  process?: { version?: string; platform?: string; arch?: string; versions?: { node?: string } };
  navigator?: { userAgent?: string };
}

/** Who runs this: `Node v22.1.0, linux-x64`, `Deno 2.9.6, linux-x86_64`, or what the browser calls itself. */
export function runtimeName(host: Host = globalThis as unknown as Host): string {
  const { Deno, process, navigator } = host;
  if (Deno?.version?.deno) return `Deno ${Deno.version.deno}, ${Deno.build?.os}-${Deno.build?.arch}`;
  if (process?.versions?.node) return `Node ${process.version}, ${process.platform}-${process.arch}`;
  return navigator?.userAgent ?? "unknown";
}
