/** `#host` in browsers: a page has no end to wait for and no files; its profiler is asked by name. */

/** Does nothing: call `backend.profiler.table()` or `profileTrace()` when you want them. */
export function atEnd(_finish: () => Promise<void>, _last: () => void): void {}

/** Does nothing. */
export function writeText(_path: string, _text: string): void {}
