/**
 * Calls over a message port: a call has an id, one argument, any number of events, and a result or an error. While it
 * runs the caller may tell it things; "abort" is one of them. Knows nothing of what is called.
 *
 *     caller -> { id, call, args }   { id, tell }   { end }
 *     callee -> { id, event }        { id, result } | { id, error: { name, message, stack } }
 *
 * A message that arrives but cannot be read (`messageerror`) has no id: all calls under way are rejected, none hangs.
 */
import * as errors from "../tensor/errors.ts";

type PortEvent = "message" | "messageerror";

/** A worker, the global scope inside one, or a port. */
export interface Port {
  postMessage(message: unknown, transfer: Transferable[]): void;
  addEventListener(kind: PortEvent, listener: (event: MessageEvent) => void): void;
  removeEventListener(kind: PortEvent, listener: (event: MessageEvent) => void): void;
  /** Message ports wait for it. */
  start?(): void;
  /** Ends a message port. */
  close?(): void;
}

interface WireError {
  name: string;
  message: string;
  stack?: string;
  cause?: WireError;
}

interface ToCallee {
  naysay: 1;
  id: string;
  call?: string;
  args?: unknown;
  tell?: string;
  /** No call comes any more: what runs is aborted, and the port closed. */
  end?: true;
}

/** Tells the other side to end. */
export function sendEnd(port: Port): void {
  const message: ToCallee = { naysay: 1, id: "", end: true };
  port.postMessage(message, []);
}

interface ToCaller {
  naysay: 1;
  id: string;
  event?: unknown;
  result?: unknown;
  error?: WireError;
  done?: boolean;
}

/** Instead of an id: the other side got a message that it could not read. */
const UNREAD = "unread";

/** Whether a message is one of these and not the application's own: both may share a port. */
function isOurs<T>(data: unknown): data is T {
  return data !== null && typeof data === "object" && (data as { naysay?: unknown }).naysay === 1;
}

/**
 * Buffers of the typed arrays in a message, to be moved instead of copied: a handler gives away what it returns or emits.
 * One of no bytes may have been moved before, and Node drops a message that moves it again without a word; copied, it is refused.
 */
function buffersIn(data: unknown, found = new Set<ArrayBuffer>()): Set<ArrayBuffer> {
  if (ArrayBuffer.isView(data)) {
    const { buffer, byteLength } = data;
    if (buffer instanceof ArrayBuffer && byteLength > 0 && byteLength === buffer.byteLength)
      found.add(buffer);
  } else if (Array.isArray(data)) for (const x of data) buffersIn(x, found);
  else if (data !== null && typeof data === "object")
    for (const x of Object.values(data)) buffersIn(x, found);
  return found;
}

// ------------------------------------------------------------ the side that is called

export interface CallContext {
  /** Aborted when the caller aborts. */
  readonly signal: AbortSignal;
  /** Sends an event; typed arrays in it are moved, so hand out copies of what is kept. */
  emit(event: unknown): void;
  /** Called with each word that the caller tells. */
  onTell: ((word: string) => void) | null;
}

/** What it resolves to is sent as an event is. */
export type Handler = (args: never, context: CallContext) => Promise<unknown>;

/** How deep causes are followed: enough to see what lies beneath, whatever a cause's cause is. */
const CAUSES = 4;

function wireError(error: unknown, depth = 0): WireError {
  if (error === null || typeof error !== "object") return { name: "Error", message: String(error) };
  const { name, message, stack, cause } = error as Partial<Error>;
  return {
    name: String(name ?? "Error"),
    message: String(message ?? error),
    stack: typeof stack === "string" ? stack : undefined,
    cause: cause === undefined || depth >= CAUSES ? undefined : wireError(cause, depth + 1),
  };
}

/** Answers calls on a port by the table; returns a function that stops. */
export function serveCalls(port: Port, handlers: Readonly<Record<string, Handler>>): () => void {
  const running = new Map<string, { abort: AbortController; context: CallContext }>();
  const send = (message: Omit<ToCaller, "naysay">, transfer: Iterable<ArrayBuffer> = []): void =>
    port.postMessage({ naysay: 1, ...message }, [...transfer]);
  const begin = async (id: string, name: string, args: unknown): Promise<void> => {
    const abort = new AbortController();
    const context: CallContext = {
      signal: abort.signal,
      emit: (event) => send({ id, event }, buffersIn(event)),
      onTell: null,
    };
    running.set(id, { abort, context });
    try {
      const handler = Object.hasOwn(handlers, name) ? handlers[name] : undefined;
      if (!handler) {
        throw new errors.NaysayError(
          `worker: a known call was expected, got "${name}". Use the same version of naysay on both sides.`,
        );
      }
      const result = await handler(args as never, context);
      send({ id, result, done: true }, buffersIn(result));
    } catch (error) {
      send({ id, error: wireError(error), done: true });
    } finally {
      running.delete(id);
    }
  };
  const listen = ({ data }: MessageEvent): void => {
    if (!isOurs<ToCallee>(data)) return;
    if (data.end) {
      stop();
      port.close?.();
    } else if (data.call !== undefined) void begin(data.id, data.call, data.args);
    else if (data.tell === "abort") {
      running
        .get(data.id)
        ?.abort.abort(new errors.NaysayError("worker: the call was aborted by its caller."));
    } else if (data.tell !== undefined) running.get(data.id)?.context.onTell?.(data.tell);
  };
  const unread = (): void => send({ id: UNREAD, done: true });
  const stop = (): void => {
    port.removeEventListener("message", listen);
    port.removeEventListener("messageerror", unread);
    for (const { abort } of running.values()) abort.abort();
  };
  port.addEventListener("message", listen);
  port.addEventListener("messageerror", unread);
  port.start?.();
  return stop;
}

// ------------------------------------------------------------ the side that calls

/** A call that is under way: a promise of its result, and its events in order for `for await`. */
export interface Call<R, E> extends AsyncIterable<E> {
  readonly result: Promise<R>;
  /** Tells the running call a word. */
  tell(word: string): void;
}

export interface CallOptions<E> {
  signal?: AbortSignal;
  onEvent?(event: E): void;
}

interface Pending {
  abort(): void;
  event(value: unknown): void;
  settle(message: ToCaller): void;
  fail(error: Error): void;
}

type NamedErrors = Readonly<Record<string, new (message: string) => Error>>;

/** The error of a class with the same name here, its stack that of the other side. */
function revive({ name, message, stack, cause }: WireError): Error {
  const known = name.endsWith("Error") ? (errors as unknown as NamedErrors)[name] : undefined;
  const error = known ? new known(message) : new Error(message);
  if (cause) error.cause = revive(cause);
  if (!known) error.name = name;
  if (stack) error.stack = stack;
  return error;
}

export class Caller {
  private readonly port: Port;
  private readonly pending = new Map<string, Pending>();
  private failure: Error | null = null;
  private next = 1;
  /** Two callers on one port must not take each other's answers. */
  private readonly prefix = globalThis.crypto.randomUUID();

  constructor(port: Port) {
    this.port = port;
    port.addEventListener("message", this.listen);
    port.addEventListener("messageerror", this.unread);
    port.start?.();
  }

  private readonly unread = (): void => {
    this.rejectAll(
      new errors.NaysayError(
        "worker: messages that can be read were expected, got one that cannot. Use the same version of naysay on both sides, and check the memory that is left.",
      ),
    );
  };

  private readonly listen = ({ data }: MessageEvent): void => {
    if (!isOurs<ToCaller>(data)) return;
    if (data.id === UNREAD) this.unread();
    const call = this.pending.get(data.id);
    if (!call) return;
    if (!data.done) call.event(data.event);
    else {
      this.pending.delete(data.id);
      call.settle(data);
    }
  };

  /**
   * Starts a call. When `signal` aborts, the other side is told, and once it has stopped `result` rejects with the
   * signal's reason. With `onEvent` events go there; else they wait until they are iterated over.
   */
  call<R, E>(name: string, args: unknown, options: CallOptions<E> = {}): Call<R, E> {
    const { signal, onEvent } = options;
    const id = `${this.prefix}.${this.next++}`;
    const queue: E[] = [];
    let wake: (() => void) | null = null;
    let ended = false;
    let left = false;
    const notify = (): void => {
      wake?.();
      wake = null;
    };
    const tell = (word: string): void => this.port.postMessage({ naysay: 1, id, tell: word }, []);
    const onAbort = (): void => tell("abort");
    const result = new Promise<R>((resolve, reject) => {
      const end = (): void => {
        signal?.removeEventListener("abort", onAbort);
        ended = true;
        notify();
      };
      if (this.failure || signal?.aborted) {
        end();
        reject(this.failure ?? signal?.reason);
        return;
      }
      this.pending.set(id, {
        abort: () => tell("abort"),
        event(value) {
          if (onEvent) onEvent(value as E);
          else if (!left) queue.push(value as E);
          notify();
        },
        settle(message) {
          end();
          if (!message.error) resolve(message.result as R);
          else reject(signal?.aborted ? signal.reason : revive(message.error));
        },
        fail(error) {
          end();
          reject(error);
        },
      });
      signal?.addEventListener("abort", onAbort);
      try {
        this.port.postMessage({ naysay: 1, id, call: name, args }, []);
      } catch (cause) {
        this.pending.delete(id);
        end();
        reject(
          new errors.TensorError(
            `worker: ${name}: plain data that can be copied was expected, got something else (${(cause as Error).message}). Pass numbers, strings, arrays and typed arrays.`,
            { cause },
          ),
        );
      }
    });
    // A caller that only iterates hears of the failure there.
    result.catch(() => {});
    return {
      result,
      tell,
      async *[Symbol.asyncIterator]() {
        try {
          for (;;) {
            while (queue.length > 0) yield queue.shift() as E;
            if (ended) break;
            await new Promise<void>((resolve) => {
              wake = resolve;
            });
          }
          await result;
        } finally {
          // Who has stopped listening wants no more of them.
          left = true;
          queue.length = 0;
        }
      },
    };
  }

  /** Rejects every call under way, and all later ones. */
  fail(error: Error): void {
    this.failure = error;
    this.rejectAll(error);
  }

  /** Aborts what is under way on the other side, and rejects it here. */
  close(): void {
    this.port.removeEventListener("message", this.listen);
    this.port.removeEventListener("messageerror", this.unread);
    for (const call of this.pending.values()) call.abort();
    this.fail(
      new errors.NaysayError("worker: an open worker was expected, got a closed one. Connect again."),
    );
  }

  private rejectAll(error: Error): void {
    for (const call of this.pending.values()) call.fail(error);
    this.pending.clear();
  }
}
