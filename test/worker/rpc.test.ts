/** Calls over a port: results, events in order, errors by name, aborts, and a port shared with an application. */
import { afterEach, expect, test } from "vitest";
import { ConfigError, NaysayError } from "../../src/tensor/errors.ts";
import { type CallContext, Caller, serveCalls } from "../../src/worker/rpc.ts";

let close: (() => void) | null = null;
afterEach(() => close?.());

function pair(handlers: Parameters<typeof serveCalls>[1]): {
  caller: Caller;
  port: MessagePort;
  /** The side that is called. */
  far: MessagePort;
} {
  const { port1, port2 } = new MessageChannel();
  const stop = serveCalls(port2, handlers);
  close = () => {
    stop();
    port1.close();
    port2.close();
  };
  return { caller: new Caller(port1), port: port1, far: port2 };
}

test("results come back to the call that asked, whatever the order in which they are ready", async () => {
  const { caller } = pair({
    wait: async (ms: never) => {
      await new Promise((resolve) => setTimeout(resolve, ms));
      return ms;
    },
  });
  const [slow, fast] = [caller.call("wait", 40), caller.call("wait", 1)];
  expect(await fast.result).toBe(1);
  expect(await slow.result).toBe(40);
});

test("events keep their order and typed arrays in them are moved, not copied", async () => {
  const sent: Float32Array[] = [];
  const { caller } = pair({
    count: async (n: never, { emit }: CallContext) => {
      for (let i = 0; i < n; i++) {
        const values = Float32Array.of(i, i + 0.5);
        sent.push(values);
        emit({ i, values });
      }
      return "done";
    },
  });
  const call = caller.call<string, { i: number; values: Float32Array }>("count", 5);
  const seen: number[][] = [];
  for await (const { i, values } of call) seen.push([i, ...values]);
  expect(seen).toEqual([0, 1, 2, 3, 4].map((i) => [i, i, i + 0.5]));
  expect(await call.result).toBe("done");
  expect(sent.map((x) => x.byteLength)).toEqual([0, 0, 0, 0, 0]);
});

test("with onEvent the events go there", async () => {
  const { caller } = pair({
    twice: async (_: never, { emit }: CallContext) => {
      emit("a");
      emit("b");
    },
  });
  const heard: unknown[] = [];
  await caller.call("twice", null, { onEvent: (event) => heard.push(event) }).result;
  expect(heard).toEqual(["a", "b"]);
});

test("an error arrives as its own class with its message; an unknown call is refused", async () => {
  const { caller } = pair({
    fail: async () => {
      throw new ConfigError("task: one of countdown expected, got x. Check it.");
    },
    crash: async () => {
      throw new RangeError("out of range");
    },
  });
  const failed = caller.call("fail", null);
  await expect(failed.result).rejects.toBeInstanceOf(ConfigError);
  await expect(failed.result).rejects.toThrow("task: one of countdown expected, got x. Check it.");
  await expect(caller.call("crash", null).result).rejects.toMatchObject({ name: "RangeError" });
  await expect(caller.call("toString", null).result).rejects.toThrow(
    /known call was expected, got "toString"/,
  );
  await expect(
    (async () => {
      for await (const _ of caller.call("fail", null)) expect.unreachable();
    })(),
  ).rejects.toBeInstanceOf(ConfigError);
});

test("an abort stops the other side, and the caller gets its own reason", async () => {
  let stopped = false;
  const { caller } = pair({
    forever: (_: never, { signal, emit }: CallContext) => {
      emit("begun");
      return new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => {
          stopped = true;
          reject(signal.reason);
        });
      });
    },
  });
  const abort = new AbortController();
  const reason = new Error("enough");
  const call = caller.call("forever", null, { signal: abort.signal });
  for await (const _ of { [Symbol.asyncIterator]: () => call[Symbol.asyncIterator]() }) {
    abort.abort(reason);
    break;
  }
  await expect(call.result).rejects.toBe(reason);
  expect(stopped).toBe(true);
  const early = caller.call("forever", null, { signal: AbortSignal.abort(reason) });
  await expect(early.result).rejects.toBe(reason);
});

test("what is told arrives at the running call only", async () => {
  const { caller } = pair({
    listen: (_: never, context: CallContext) =>
      new Promise((resolve) => {
        context.onTell = resolve;
        context.emit("ready");
      }),
  });
  const [first, second] = [caller.call("listen", null), caller.call("listen", null)];
  for (const call of [first, second]) await call[Symbol.asyncIterator]().next();
  second.tell("two");
  first.tell("one");
  expect(await Promise.all([first.result, second.result])).toEqual(["one", "two"]);
});

test("messages of the application on the same port are left alone", async () => {
  const { caller, port } = pair({ one: async () => 1 });
  port.postMessage({ id: 1, call: "one" });
  port.postMessage(null);
  port.postMessage("text");
  expect(await caller.call("one", null).result).toBe(1);
});

test("what cannot be copied is refused by name, to the promise and to the loop", async () => {
  const { caller } = pair({ echo: async (x: never) => x });
  const call = caller.call("echo", { f: () => 1 });
  await expect(call.result).rejects.toThrow(/^worker: echo: plain data that can be copied was expected/);
  await expect(
    (async () => {
      for await (const _ of call) expect.unreachable();
    })(),
  ).rejects.toThrow(/plain data/);
});

test("anything thrown arrives, with its causes", async () => {
  const { caller } = pair({
    odd: async () => {
      throw { code: 7 };
    },
    deep: async () => {
      throw new ConfigError("above", { cause: new RangeError("beneath") });
    },
  });
  await expect(caller.call("odd", null).result).rejects.toBeInstanceOf(Error);
  await expect(caller.call("deep", null).result).rejects.toMatchObject({
    name: "ConfigError",
    cause: { name: "RangeError", message: "beneath" },
  });
});

test("two callers on one port get their own answers", async () => {
  const { caller, port } = pair({ echo: async (x: never) => x });
  const other = new Caller(port);
  const [a, b] = [caller.call("echo", "a"), other.call("echo", "b")];
  expect(await Promise.all([a.result, b.result])).toEqual(["a", "b"]);
});

test("a closed caller rejects what is under way and what comes later", async () => {
  const { caller } = pair({ forever: () => new Promise(() => {}) });
  const call = caller.call("forever", null);
  caller.close();
  await expect(call.result).rejects.toBeInstanceOf(NaysayError);
  await expect(caller.call("forever", null).result).rejects.toThrow(/closed one/);
});

test("bytes that were moved away before are refused, not lost", async () => {
  const kept = Uint8Array.of(1, 2, 3);
  const { caller } = pair({ read: async () => kept, empty: async () => new Uint8Array() });
  expect(await caller.call("read", null).result).toEqual(Uint8Array.of(1, 2, 3));
  await expect(caller.call("read", null).result).rejects.toThrow(/clone|detached/i);
  expect(await caller.call("empty", null).result).toEqual(new Uint8Array());
  expect(await caller.call("empty", null).result).toEqual(new Uint8Array());
});

test("a message that cannot be read rejects what is under way, on whichever side it arrives", async () => {
  const { caller, port, far } = pair({
    forever: () => new Promise(() => {}),
    echo: async (x: never) => x,
  });
  for (const side of [port, far]) {
    const calls = [caller.call("forever", null), caller.call("forever", null)];
    side.dispatchEvent(new Event("messageerror"));
    for (const call of calls) await expect(call.result).rejects.toThrow(/^worker: messages that can be read/);
  }
  expect(await caller.call("echo", 1).result).toBe(1);
});
