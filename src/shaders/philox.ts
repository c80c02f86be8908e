/**
 * Philox 4x32-10 in WGSL, bit for bit `philox` of `src/tensor/random.ts`.
 *
 * Source: Salmon, Moraes, Dror and Shaw 2011, Parallel Random Numbers: As Easy as 1, 2, 3.
 */

/**
 * Snippet: `philox4x32(counter, key)` gives four random words; `uniform24(word)` a float in [0, 1).
 *
 * WGSL has no 64-bit product, so the high word comes from 16-bit halves; u32 arithmetic wraps and no sum overflows.
 */
export const philoxWgsl: string = /* wgsl */ `
fn philoxMulHigh(a: u32, b: u32) -> u32 {
  let al = a & 0xffffu;
  let ah = a >> 16u;
  let bl = b & 0xffffu;
  let bh = b >> 16u;
  let mid = ah * bl + ((al * bl) >> 16u);
  let mid2 = al * bh + (mid & 0xffffu);
  return ah * bh + (mid >> 16u) + (mid2 >> 16u);
}

fn philox4x32(counter: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
  var c = counter;
  var k = key;
  for (var round = 0u; round < 10u; round++) {
    let high0 = philoxMulHigh(0xd2511f53u, c.x);
    let high1 = philoxMulHigh(0xcd9e8d57u, c.z);
    let low0 = 0xd2511f53u * c.x;
    let low1 = 0xcd9e8d57u * c.z;
    c = vec4<u32>(high1 ^ c.y ^ k.x, low1, high0 ^ c.w ^ k.y, low0);
    k = k + vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
  }
  return c;
}

fn uniform24(word: u32) -> f32 {
  return f32(word >> 8u) * 5.9604644775390625e-8;
}
`;
