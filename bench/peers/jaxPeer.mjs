/**
 * The same work in jax-js (https://github.com/ekzhang/jax-js), as its documentation would write it: pure functions under
 * `jit`, gradients by `valueAndGrad`. Functions own their arguments, so what is used twice is taken as `.ref`. Tokens are
 * looked up by a product with one-hot rows: a vocabulary of 64 is no more than that.
 */

import { readFileSync } from "node:fs";
import { ADAMW } from "../../dist/bench/smallModel.js";

const manifest = new URL("./node_modules/@jax-js/jax/package.json", import.meta.url);

export async function open() {
  const jax = await import("@jax-js/jax");
  const { numpy: np, nn, random, tree, jit, valueAndGrad } = jax;
  if (!(await jax.init("webgpu")).includes("webgpu")) throw new Error("no WebGPU device");
  jax.defaultDevice("webgpu");
  const array = (data, shape) => np.array(data).reshape(shape);
  const scalar = (x) => np.array(new Float32Array([x])).reshape([]);
  const index = (i) => np.array(new Int32Array([i])).reshape([]);

  const norm = (p, name, x) => nn.standardize(x).mul(p[`${name}.weight`].ref).add(p[`${name}.bias`].ref);
  const linear = (p, name, x) => np.matmul(x, p[`${name}.weight`].ref).add(p[`${name}.bias`].ref);

  /** One layer on x [N, C]; `attend(q, k, v)` takes and gives [N, C]. */
  const layer = (p, i, x, attend) => {
    const h = `transformer.h.${i}`;
    const qkv = linear(p, `${h}.attn.c_attn`, norm(p, `${h}.ln_1`, x.ref));
    const y = x.add(linear(p, `${h}.attn.c_proj`, attend(...np.split(qkv, 3, -1))));
    const up = nn.gelu(linear(p, `${h}.mlp.c_fc`, norm(p, `${h}.ln_2`, y.ref)));
    return y.add(linear(p, `${h}.mlp.c_proj`, up));
  };
  const embed = (p, tokens, vocabSize) =>
    np.matmul(nn.oneHot(tokens, vocabSize).astype(np.float32), p["transformer.wte.weight"].ref);
  const logitsOf = (p, x) =>
    np.matmul(norm(p, "transformer.ln_f", x), np.transpose(p["transformer.wte.weight"].ref));

  /** Whole sequences: tokens [B T] -> hidden states [B T, C]; `remember` gets keys and values [B, T, H, D] of each layer. */
  const whole = (p, tokens, sizes, b, t, remember) => {
    const { vocabSize, hiddenSize: c, numLayers, numHeads } = sizes;
    const positions = p["transformer.wpe.weight"].ref.slice([0, t]); // [T, C]
    let x = embed(p, tokens, vocabSize)
      .reshape([b, t, c])
      .add(positions)
      .reshape([b * t, c]);
    for (let i = 0; i < numLayers; i++) {
      x = layer(p, i, x, (...qkv) => {
        const [q, k, v] = qkv.map((y) => y.reshape([b, t, numHeads, c / numHeads]));
        remember?.(k.ref, v.ref);
        return nn.dotProductAttention(q, k, v, { isCausal: true }).reshape([b * t, c]);
      });
    }
    return x;
  };

  return {
    name: "jax-js",
    version: JSON.parse(readFileSync(manifest, "utf8")).version,
    device: jax.getWebGPUDevice(),

    async matmul({ a, b, transposeA }) {
      const [x, y] = [a, b].map(({ data, shape }) => array(data, shape));
      const product = jit((p, q) => np.matmul(transposeA ? np.transpose(p) : p, q));
      return {
        async run() {
          const z = product(x.ref, y.ref);
          await z.blockUntilReady();
          z.dispose();
        },
        result: () => product(x.ref, y.ref).data(),
        dispose() {
          x.dispose();
          y.dispose();
        },
      };
    },

    async training({ sizes, weights, tokens, targets }) {
      const { maxPositions: t, batch: b, vocabSize } = sizes;
      const { lr, beta1, beta2, eps, weightDecay } = ADAMW;
      const loss = (p, x, y) => {
        const logProbs = nn.logSoftmax(logitsOf(p, whole(p, x, sizes, b, t)), -1); // [B T, V]
        tree.dispose(p);
        const chosen = nn.oneHot(y, vocabSize).astype(np.float32).mul(logProbs);
        return np.sum(chosen).mul(-1 / (b * t));
      };
      const step = jit((p, m, v, x, y, rate, correction) => {
        const [value, grads] = valueAndGrad(loss)(tree.ref(p), x, y);
        const next = { p: {}, m: {}, v: {} };
        for (const name of Object.keys(p)) {
          const g = grads[name];
          const decay = p[name].ndim >= 2 ? lr * weightDecay : 0;
          const m1 = m[name].mul(beta1).add(g.ref.mul(1 - beta1));
          const v1 = v[name].mul(beta2).add(np.square(g).mul(1 - beta2));
          const change = m1.ref.mul(rate.ref).div(np.sqrt(v1.ref).mul(correction.ref).add(eps));
          next.p[name] = p[name].mul(1 - decay).sub(change);
          next.m[name] = m1;
          next.v[name] = v1;
        }
        rate.dispose();
        correction.dispose();
        return [value, next];
      });
      const [x, y] = [tokens, targets].map((data) => np.array(new Int32Array(data)));
      const zeros = () => Object.fromEntries([...weights].map(([name, w]) => [name, np.zeros(w.shape)]));
      let state = {
        p: Object.fromEntries([...weights].map(([name, w]) => [name, array(w.data, w.shape)])),
        m: zeros(),
        v: zeros(),
      };
      let count = 0;
      const take = () => {
        count++;
        const rate = scalar(lr / (1 - beta1 ** count));
        const correction = scalar(1 / Math.sqrt(1 - beta2 ** count));
        const [value, next] = step(state.p, state.m, state.v, x.ref, y.ref, rate, correction);
        state = next;
        return value;
      };
      return {
        async run() {
          const value = take();
          await jax.blockUntilReady([value, state]);
          value.dispose();
        },
        async loss() {
          return (await take().data())[0];
        },
        dispose() {
          for (const a of [state, x, y]) tree.dispose(a);
        },
      };
    },

    async sampling({ sizes, weights, prompts, length }) {
      const { hiddenSize: c, numLayers, numHeads, vocabSize, maxPositions } = sizes;
      const [rows, prompt] = [prompts.length, prompts[0].length];
      const span = prompt + length;
      const heads = [rows, 1, numHeads, c / numHeads];
      const params = Object.fromEntries([...weights].map(([name, w]) => [name, array(w.data, w.shape)]));
      const pick = (greedy, logits, seed) => {
        if (!greedy) return random.categorical(random.key(seed), logits);
        seed.dispose();
        return np.argmax(logits, -1);
      };
      const prefill = (greedy) => (p, tokens, seed) => {
        const cache = [];
        const x = whole(p, tokens, sizes, rows, prompt, (...kv) => {
          cache.push(
            kv.map((y) =>
              np.pad(y, [
                [0, 0],
                [0, length],
                [0, 0],
                [0, 0],
              ]),
            ),
          );
        }); // [R P, C]
        const last = x.reshape([rows, prompt, c]).slice([], prompt - 1);
        const token = pick(greedy, logitsOf(p, last), seed);
        tree.dispose(p);
        return [token, cache];
      };
      /** One token more: it goes to column `at` of the cache, of which columns up to `at` are seen. */
      const decode = (greedy) => (p, cache, token, at, seed) => {
        const columns = np.arange(span, undefined, undefined, { dtype: np.int32 });
        const here = np.equal(columns.ref, at.ref).reshape([1, span, 1, 1]);
        const seen = np.lessEqual(columns, at.ref).reshape([1, 1, 1, span]);
        const position = np.matmul(
          nn.oneHot(at.reshape([1]), maxPositions).astype(np.float32),
          p["transformer.wpe.weight"].ref,
        ); // [1, C]
        let x = embed(p, token, vocabSize).add(position);
        const next = [];
        for (let i = 0; i < numLayers; i++) {
          x = layer(p, i, x, (...qkv) => {
            const [q, k, v] = qkv.map((y) => y.reshape(heads));
            const [keys, values] = [k, v].map((y, j) => np.where(here.ref, y, cache[i][j]));
            next.push([keys.ref, values.ref]);
            return nn.dotProductAttention(q, keys, values, { mask: seen.ref }).reshape([rows, c]);
          });
        }
        here.dispose();
        seen.dispose();
        const drawn = pick(greedy, logitsOf(p, x), seed);
        tree.dispose(p);
        return [drawn, next];
      };
      const tokens = np.array(new Int32Array(prompts.flat()));
      let rollout = 0;
      /** Tokens of all steps, [length, rows]. */
      const sampler = (greedy) => {
        const [first, more] = [jit(prefill(greedy)), jit(decode(greedy))];
        return async () => {
          const seed = (step) => np.array(new Uint32Array([rollout * length + step])).reshape([]);
          rollout++;
          let [token, cache] = first(tree.ref(params), tokens.ref, seed(0));
          const all = [token.ref];
          for (let step = 1; step < length; step++) {
            [token, cache] = more(tree.ref(params), cache, token, index(prompt + step - 1), seed(step));
            all.push(token.ref);
          }
          token.dispose();
          tree.dispose(cache);
          return np.stack(all).data();
        };
      };
      const draw = sampler(false);
      return {
        async run() {
          await draw();
        },
        async greedy() {
          const byStep = await sampler(true)();
          return Uint32Array.from(byStep, (_, i) => byStep[(i % length) * rows + Math.floor(i / length)]);
        },
        dispose() {
          tree.dispose(params);
          tokens.dispose();
        },
      };
    },

    close() {},
  };
}
