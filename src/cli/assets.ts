/** Files that travel in the package. */
import { fileURLToPath } from "node:url";

/** The path of a shipped file: `assets/` lies beside both `src/` and `dist/`. */
export function assetPath(name: string): string {
  return fileURLToPath(new URL(`../../assets/${name}`, import.meta.url));
}
