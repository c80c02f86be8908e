/** Files on disk under one name, as the run functions take them. */

import type { Files } from "../model/files.ts";
import * as disk from "../model/fs.node.ts";

export const files: Files = disk;
