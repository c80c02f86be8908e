/**
 * The same work in TensorFlow.js (https://github.com/tensorflow/tfjs) with its WebGPU backend: op by op, gradients by
 * `variableGrads`. Its optimizers have no AdamW, so the update is written out.
 */

import { createRequire } from "node:module";
import { ADAMW } from "../../dist/bench/smallModel.js";

export async function open() {
  // Its packages for Node are CommonJS, and must be one and the same copy. Gradients come with the whole package only.
  const require = createRequire(import.meta.url);
  const tf = require("@tensorflow/tfjs");
  require("@tensorflow/tfjs-backend-webgpu");
  if (!(await tf.setBackend("webgpu"))) throw new Error("no WebGPU device");
  await tf.ready();
  const backend = tf.backend();
  /** What reading a result would do, without the copy. */
  const sync = async () => {
    backend.ensureCommandEncoderReady();
    backend.endComputePassEncoder();
    backend.submitQueue();
    await backend.device.queue.onSubmittedWorkDone();
  };

  const norm = (p, name, x) => {
    const { mean, variance } = tf.moments(x, -1, true);
    const scaled = tf.mul(tf.sub(x, mean), tf.rsqrt(tf.add(variance, 1e-5)));
    return tf.add(tf.mul(scaled, p[`${name}.weight`]), p[`${name}.bias`]);
  };
  const linear = (p, name, x) => tf.add(tf.matMul(x, p[`${name}.weight`]), p[`${name}.bias`]);
  const gelu = (x) => {
    const inner = tf.mul(Math.sqrt(2 / Math.PI), tf.add(x, tf.mul(0.044715, tf.mul(x, tf.mul(x, x)))));
    return tf.mul(tf.mul(0.5, x), tf.add(1, tf.tanh(inner)));
  };
  const layer = (p, i, x, attend) => {
    const h = `transformer.h.${i}`;
    const qkv = tf.split(linear(p, `${h}.attn.c_attn`, norm(p, `${h}.ln_1`, x)), 3, -1);
    const y = tf.add(x, linear(p, `${h}.attn.c_proj`, attend(...qkv)));
    return tf.add(y, linear(p, `${h}.mlp.c_proj`, gelu(linear(p, `${h}.mlp.c_fc`, norm(p, `${h}.ln_2`, y)))));
  };
  const logitsOf = (p, x) =>
    tf.matMul(norm(p, "transformer.ln_f", x), p["transformer.wte.weight"], false, true);
  /** q [B, H, T, D], k and v [B, H, S, D], mask added to the scores -> [B T, C]. */
  const attention = (q, k, v, mask) => {
    const [b, h, t, d] = q.shape;
    const scores = tf.mul(tf.matMul(q, k, false, true), 1 / Math.sqrt(d));
    const mixed = tf.matMul(tf.softmax(mask ? tf.add(scores, mask) : scores), v);
    return tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [b * t, h * d]);
  };
  const causal = (t) =>
    tf.tensor(
      Float32Array.from({ length: t * t }, (_, i) => (i % t > Math.floor(i / t) ? -1e30 : 0)),
      [t, t],
    );

  /** Whole sequences: one-hot tokens [B T, V] -> hidden states [B T, C]. */
  const whole = (p, oneHot, sizes, b, t, mask, remember) => {
    const { hiddenSize: c, numLayers, numHeads } = sizes;
    const positions = tf.slice(p["transformer.wpe.weight"], [0, 0], [t, c]);
    const embedded = tf.reshape(tf.matMul(oneHot, p["transformer.wte.weight"]), [b, t, c]);
    let x = tf.reshape(tf.add(embedded, positions), [b * t, c]);
    for (let i = 0; i < numLayers; i++) {
      x = layer(p, i, x, (...qkv) => {
        const [q, k, v] = qkv.map((y) =>
          tf.transpose(tf.reshape(y, [b, t, numHeads, c / numHeads]), [0, 2, 1, 3]),
        );
        remember?.(k, v);
        return attention(q, k, v, mask);
      });
    }
    return x;
  };

  return {
    name: "tfjs-webgpu",
    version: require("@tensorflow/tfjs-backend-webgpu/package.json").version,
    device: backend.device,

    async matmul({ a, b, transposeA }) {
      const [x, y] = [a, b].map(({ data, shape }) => tf.tensor(data, shape));
      const product = () => tf.matMul(x, y, transposeA);
      return {
        async run() {
          product().dispose();
          await sync();
        },
        async result() {
          const z = product();
          const data = await z.data();
          z.dispose();
          return data;
        },
        dispose() {
          tf.dispose([x, y]);
        },
      };
    },

    async training({ sizes, weights, tokens, targets }) {
      const { maxPositions: t, batch: b, vocabSize } = sizes;
      const { lr, beta1, beta2, eps, weightDecay } = ADAMW;
      const mask = causal(t);
      const [x, y] = [tokens, targets].map((data) => {
        const indices = tf.tensor(new Int32Array(data), [b * t], "int32");
        const rows = tf.cast(tf.oneHot(indices, vocabSize), "float32");
        indices.dispose();
        return rows;
      });
      const p = {};
      const moments = {};
      for (const [name, w] of weights) {
        p[name] = tf.variable(tf.tensor(w.data, w.shape), true, name);
        moments[name] = { m: tf.variable(tf.zeros(w.shape)), v: tf.variable(tf.zeros(w.shape)) };
      }
      const loss = () => {
        const logProbs = tf.logSoftmax(logitsOf(p, whole(p, x, sizes, b, t, mask)));
        return tf.mul(tf.sum(tf.mul(y, logProbs)), -1 / (b * t));
      };
      let count = 0;
      const take = () => {
        count++;
        const rate = lr / (1 - beta1 ** count);
        const correction = 1 / Math.sqrt(1 - beta2 ** count);
        return tf.tidy(() => {
          const { value, grads } = tf.variableGrads(loss, Object.values(p));
          for (const [name, g] of Object.entries(grads)) {
            const { m, v } = moments[name];
            const decay = g.shape.length >= 2 ? lr * weightDecay : 0;
            m.assign(tf.add(tf.mul(m, beta1), tf.mul(g, 1 - beta1)));
            v.assign(tf.add(tf.mul(v, beta2), tf.mul(tf.square(g), 1 - beta2)));
            const change = tf.div(tf.mul(m, rate), tf.add(tf.mul(tf.sqrt(v), correction), eps));
            p[name].assign(tf.sub(tf.mul(p[name], 1 - decay), change));
          }
          return value;
        });
      };
      return {
        async run() {
          take().dispose();
          await sync();
        },
        async loss() {
          const value = take();
          const [number] = await value.data();
          value.dispose();
          return number;
        },
        dispose() {
          tf.dispose([mask, x, y, ...Object.values(p)]);
          for (const { m, v } of Object.values(moments)) tf.dispose([m, v]);
        },
      };
    },

    async sampling({ sizes, weights, prompts, length }) {
      const { hiddenSize: c, numLayers, numHeads, vocabSize } = sizes;
      const [rows, prompt] = [prompts.length, prompts[0].length];
      const p = Object.fromEntries([...weights].map(([name, w]) => [name, tf.tensor(w.data, w.shape)]));
      const mask = causal(prompt);
      const oneHot = (tokens) => tf.cast(tf.oneHot(tokens, vocabSize), "float32");
      const start = tf.tidy(() =>
        oneHot(tf.tensor(new Int32Array(prompts.flat()), [rows * prompt], "int32")),
      );
      const pick = (logits, greedy) => {
        if (greedy) return tf.argMax(logits, -1);
        const noise = tf.neg(tf.log(tf.neg(tf.log(tf.randomUniform([rows, vocabSize], 1e-7, 1)))));
        return tf.argMax(tf.add(logits, noise), -1);
      };
      const first = (greedy) =>
        tf.tidy(() => {
          const cache = [];
          const x = whole(p, start, sizes, rows, prompt, mask, (k, v) => cache.push([k, v]));
          const last = tf.reshape(
            tf.slice(tf.reshape(x, [rows, prompt, c]), [0, prompt - 1, 0], [rows, 1, c]),
            [rows, c],
          );
          return { token: pick(logitsOf(p, last), greedy), cache };
        });
      const more = ({ token, cache }, at, greedy) =>
        tf.tidy(() => {
          const next = [];
          const position = tf.slice(p["transformer.wpe.weight"], [at, 0], [1, c]);
          let x = tf.add(tf.matMul(oneHot(token), p["transformer.wte.weight"]), position);
          for (let i = 0; i < numLayers; i++) {
            x = layer(p, i, x, (...qkv) => {
              const [q, k, v] = qkv.map((y) => tf.reshape(y, [rows, numHeads, 1, c / numHeads]));
              const [keys, values] = [k, v].map((y, j) => tf.concat([cache[i][j], y], 2));
              next.push([keys, values]);
              return attention(q, keys, values, null);
            });
          }
          return { token: pick(logitsOf(p, x), greedy), cache: next };
        });
      /** Tokens of all steps, [rows, length]. */
      const draw = async (greedy) => {
        let state = first(greedy);
        const tokens = [state.token];
        for (let step = 1; step < length; step++) {
          const next = more(state, prompt + step - 1, greedy);
          tf.dispose(state.cache);
          state = next;
          tokens.push(state.token);
        }
        const all = tf.stack(tokens, 1);
        const data = await all.data();
        tf.dispose([all, tokens, state.cache]);
        return Uint32Array.from(data);
      };
      return {
        async run() {
          await draw(false);
        },
        greedy: () => draw(true),
        dispose() {
          tf.dispose([p, mask, start]);
        },
      };
    },

    close() {},
  };
}
