/** What `#fs` provides, on a disk in Node and in the browser's own storage; paths have `/` between their parts. */

/** Everything under a name of its own, so that Node's and the browser's module are checked against one type. */
export interface Files {
  /**
   * Writes all or nothing: to a temporary name in the same folder, synced, then renamed. Whatever stood at `path`
   * stays until the new bytes are safe. Throws a CheckpointError with the remedy (full disk, no right, read-only).
   */
  writeFileAtomic(path: string, bytes: Uint8Array): Promise<void>;
  /** The bytes of a file; a CheckpointError where there is none. */
  readFile(path: string): Promise<Uint8Array<ArrayBuffer>>;
  /** Adds a line (a newline is put after it); the file is made where there is none. */
  appendLine(path: string, line: string): Promise<void>;
  /** Makes a folder and those above it. */
  mkdirp(path: string): Promise<void>;
  exists(path: string): Promise<boolean>;
  /** The names in a folder, in ascending order of code units; a CheckpointError where there is none. */
  list(path: string): Promise<string[]>;
  /** Removes a file or a folder with all in it; nothing happens where there is none. */
  remove(path: string): Promise<void>;
}
