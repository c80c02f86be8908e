/**
 * Faults put into the engine one at a time: each replaces one piece of text, and some test has to fail.
 * `tests` are run in order until one fails. A piece of text that is not found, or found twice, is an error.
 */

const AFFINE = "test/tensor/affine.test.ts";
const MEMORY = "test/tensor/memory.test.ts";
const REFERENCE = "test/tensor/randomGraphs.node.test.ts";
/** Forward cases of these ops, and of one with a derivative: a file may not be left without its vjp tests. */
const ops = (...names) => ({
  file: "test/tensor/ops.test.ts",
  only: "forward:",
  env: { NAYSAY_OPS: [...names, "neg"].join() },
});
const TIERS = { file: "test/tensor/ops.test.ts", only: "tiers above T0", env: { NAYSAY_OPS: "sum,max,min" } };
const GRAPHS = "test/tensor/randomGraphs.test.ts";
const REFLECTION = "test/tensor/reflection.node.test.ts";
const AUTODIFF = "test/tensor/autodiff.test.ts";
const STATES = "test/tensor/states.test.ts";
const FUSION = "test/tensor/fusion.test.ts";
const REPLAY = "test/tensor/replay.test.ts";

const TUNING = "test/tensor/tuning.test.ts";
const EDGES = "test/tensor/matmulEdges.test.ts";
const SPLIT = "test/tensor/matmulSplit.node.test.ts";
const FAST = "test/tensor/determinism.test.ts";
const LANES = "test/tensor/tierCheck.test.ts";
const MATRICES = { file: "test/tensor/matmulMatrix.node.test.ts", only: "emulated|wrong" };
const MATRIX_TEXTS = "test/tensor/matmulMatrixText.node.test.ts";
const SUBMISSIONS = "test/tensor/submissions.test.ts";

const codegen = (file) => `src/tensor/codegen/${file}.ts`;
const pass = (file) => `src/tensor/passes/${file}.ts`;

export const MUTATIONS = [
  // Barriers
  {
    name: "lanes: no barrier before the tree",
    file: codegen("lanes"),
    find: 'k.line("workgroupBarrier();");\n  k.block(`if (lane < 8u)`',
    replace: "k.block(`if (lane < 8u)`",
    tests: [REFLECTION],
  },
  {
    name: "lanes: no barrier within the tree",
    file: codegen("lanes"),
    find: '  });\n  k.line("workgroupBarrier();");',
    replace: "  });",
    tests: [REFLECTION],
  },
  {
    name: "lanes, T2: one array for all joins",
    file: codegen("lanes"),
    find: "k.sharedArray(a.type, 64, k.turn())",
    replace: "k.sharedArray(a.type, 64)",
    tests: [REFLECTION],
  },
  {
    name: "columns: no barrier before the first thread's sum",
    file: codegen("columns"),
    find: 'k.line("workgroupBarrier();");',
    replace: "",
    tests: [REFLECTION],
  },
  {
    name: "columns: those beyond the last are stored too",
    file: codegen("columns"),
    find: '${whole ? "" : ` && ${place} == ${unit}`}',
    replace: "",
    tests: ["test/tensor/stack.test.ts", ops("sum", "max")],
  },
  {
    name: "columns: steps beyond the last are taken too",
    file: codegen("columns"),
    find: "if (i === 0 || length % 64 === 0) take();",
    replace: "if (i >= 0) take();",
    tests: ["test/tensor/stack.test.ts", ops("sum", "max")],
  },
  // Masks and conditions
  {
    name: "pad: mask inverted",
    file: codegen("emit"),
    find: "`select(${zero()}, ${inner}, ${this.conditions(tests, width)})`",
    replace: "`select(${inner}, ${zero()}, ${this.conditions(tests, width)})`",
    tests: [ops("pad")],
  },
  {
    name: "concat: mask inverted",
    file: codegen("emit"),
    find: "`select(${right}, ${left}, ",
    replace: "`select(${left}, ${right}, ",
    tests: [ops("concat")],
  },
  {
    name: "updateAt: mask inverted",
    file: codegen("emit"),
    find: "`select(${outside}, ${patch}, ",
    replace: "`select(${patch}, ${outside}, ",
    tests: [ops("updateAt")],
  },
  {
    name: "window: one element too many, one lane",
    file: codegen("emit"),
    find: 'const inside = d.map((x) => this.k.name("in", `${x} < ${this.k.size(size)}`));',
    replace: 'const inside = d.map((x) => this.k.name("in", `${x} <= ${this.k.size(size)}`));',
    tests: [ops("pad", "concat", "updateAt")],
  },
  {
    name: "window: one element too many, four lanes",
    file: codegen("emit"),
    find: 'const inside = this.k.name("in", `${d} < ${this.k.size(size)}`);',
    replace: 'const inside = this.k.name("in", `${d} <= ${this.k.size(size)}`);',
    tests: [ops("pad", "concat", "updateAt"), GRAPHS],
  },
  {
    name: "where: mask inverted",
    file: "src/tensor/ops/elementwise.ts",
    find: "`select(${b}, ${a}, ${c})`",
    replace: "`select(${a}, ${b}, ${c})`",
    tests: [ops("where")],
  },
  {
    name: "grid guard: one unit too many",
    file: codegen("kernel"),
    find: "k.line(`if (unit >= ${count}) { return; }`);",
    replace: "k.line(`if (unit > ${count}) { return; }`);",
    tests: [ops("add", "sum", "matmul")],
  },
  {
    name: "grid guard: none",
    file: codegen("kernel"),
    find: "    k.line(`if (unit >= ${count}) { return; }`);\n",
    replace: "    void count;\n",
    tests: [ops("add", "sum", "matmul")],
  },
  {
    name: "grid: second axis ignored",
    file: codegen("kernel"),
    find: "const at = `wg.y * ${width} + wg.x`;",
    replace: "const at = `wg.x + 0u * ${width}`;",
    tests: [{ file: "test/tensor/ops.test.ts", only: "grids folded", env: {} }],
  },
  {
    name: "template guard: one unit too many",
    file: codegen("template"),
    find: "if (unit >= p.count)",
    replace: "if (unit > p.count)",
    tests: [ops("sample", "indexChain", "scatterAdd")],
  },
  {
    name: "sliceAt, updateAt: start not kept inside",
    file: codegen("emit"),
    find: "`min(${this.value(v, [], 1)}, ${this.k.size(extent)} - 1u)`",
    replace: "`${this.value(v, [], 1)}`",
    tests: [ops("sliceAt", "updateAt")],
  },
  {
    name: "take: index not kept inside",
    file: codegen("emit"),
    find: "`min(${name}, ${limit} - 1u)`",
    replace: "`min(${name}, ${limit})`",
    tests: [ops("take", "takeAlong")],
  },
  // Arithmetic of kernels
  {
    name: "lanes: the tree reaches one lane too far",
    file: codegen("lanes"),
    find: "if (lane < 8u)",
    replace: "if (lane <= 8u)",
    tests: [REFLECTION, ops("sum", "max")],
  },
  {
    name: "lanes, T2: the last lanes are not exchanged",
    file: codegen("lanes"),
    find: "for (const s of [2, 1])",
    replace: "for (const s of [2])",
    tests: [TIERS],
  },
  {
    name: "matmul: a read as if transposed",
    file: codegen("matmulOperands"),
    find: "...(ta ? [q, i] : [i, q])",
    replace: "...(ta ? [i, q] : [q, i])",
    tests: [ops("matmul")],
  },
  {
    name: "matmul: a quad's row is the first's",
    file: codegen("matmulOperands"),
    find: "      j & 3,\n      Math.min(",
    replace: "      0,\n      Math.min(",
    tests: [ops("matmul"), TUNING],
  },
  {
    name: "matmul: a tile that is moved back stores what the tile before stores",
    file: codegen("matmulOperands"),
    find: "`(${own} - ${start}) * ${unit}u`",
    replace: "`(${own} - ${own}) * ${unit}u`",
    tests: [EDGES],
  },
  {
    name: "matmul: a tile is moved back too far",
    file: codegen("matmulOperands"),
    find: "const last = (size - tile) / unit;",
    replace: "const last = Math.max((size - tile) / unit - 1, 0);",
    tests: [EDGES],
  },
  {
    name: "packHalf: a tie between two bf16 goes up",
    file: "src/shaders/half.ts",
    find: "U(0x7fffu) + ((u >> U(16u)) & U(1u))) >> U(16u)",
    replace: "U(0x8000u)) >> U(16u)",
    tests: [ops("packHalf")],
  },
  {
    name: "matmul: threads beyond the last unit store",
    file: codegen("kernel"),
    find: "if (body.allThreads) k.block(`if (place < ${count})`, store);\n      else store();",
    replace: "store();",
    tests: [STATES, LANES],
  },
  {
    name: "matmul through workgroup memory: no barrier before a block is read",
    file: codegen("matmulShared"),
    find: 'k.line("workgroupBarrier();");\n        const s =',
    replace: "const s =",
    tests: [REFLECTION, TUNING],
  },
  {
    name: "matmul through workgroup memory: columns of a thread one vector off",
    file: codegen("matmulShared"),
    find: "constantIndex(q * SIDE * 4)",
    replace: "constantIndex(q * 4)",
    tests: [TUNING],
  },
  {
    name: "matmul by matrices: no barrier before a block is read",
    file: codegen("matmulMatrix"),
    find: 'k.line("workgroupBarrier();");\n        core.turn(left, right);',
    replace: "core.turn(left, right);",
    tests: [MATRICES],
  },
  {
    name: "matmul by matrices: no barrier before results are read",
    file: codegen("matmulMatrix"),
    find: 'k.line("workgroupBarrier();");\n    },\n    hide()',
    replace: "},\n    hide()",
    tests: [MATRICES],
  },
  {
    name: "matmul by matrices: what lies beyond an edge is not 0",
    file: codegen("matmulMatrix"),
    find: "`select(vec4<f32>(0.0), ${x}, ${all})`",
    replace: "x",
    tests: [MATRICES],
  },
  {
    name: "matmul by matrices: b is read as if it lay the other way",
    file: codegen("matmulMatrix"),
    find: "load(right, b, !b.along, at)",
    replace: "load(right, b, b.along, at)",
    tests: [MATRICES],
  },
  {
    name: "matmul by matrices: subgroups take each other's rows",
    file: codegen("matmulMatrix"),
    find: "`${subgroup} / ${sideBySide}u * ${tiling.ownRows}u`",
    replace: "`(1u - ${subgroup} / ${sideBySide}u) * ${tiling.ownRows}u`",
    tests: [MATRICES],
  },
  {
    name: "matmul by matrices: single numbers in another's place",
    file: codegen("matmulMatrix"),
    find: "Math.floor(r.part / strips) * m",
    replace: "(r.part % strips) * m",
    tests: [MATRICES],
  },
  {
    name: "matmul by matrices: rows decide who takes them",
    file: codegen("matmulTiles"),
    find: "takesMatrices({ n, k }: MatmulProduct",
    replace: "takesMatrices({ m: n, k }: MatmulProduct",
    tests: [MATRIX_TEXTS],
  },
  {
    name: "matmul by matrices: ways with other bits are tried",
    file: codegen("matmulTiles"),
    find: "takesMatrices(product, lanes) === (v.byMatrices ?? false) ? v.tiling(product, lanes) : null",
    replace: "v.tiling(product, lanes)",
    tests: [MATRIX_TEXTS],
  },
  {
    name: "check at first use: matrices may lose 13 bits more",
    file: "src/tensor/tierCheck.ts",
    find: "k * 2 ** -23 * size",
    replace: "k * 2 ** -10 * size",
    tests: [MATRICES],
  },
  {
    name: "check at first use: matrices are held to operands as they are",
    file: "src/tensor/tierCheck.ts",
    find: 'fromHalf(toHalf(x, "f16"), "f16"),',
    replace: "x,",
    tests: [MATRICES],
  },
  {
    name: "tuning: bits are not compared",
    file: "src/tensor/tune.ts",
    find: "sameWords(bits, fixed)",
    replace: "true",
    tests: [TUNING],
  },
  {
    name: "tuning: a split way is entered without a look at its numbers",
    file: "src/tensor/tune.ts",
    find: "if (why !== null) refused.set(way, why);",
    replace: "",
    tests: [FAST],
  },
  {
    name: "tuning: a split way's rounding is not bounded",
    file: "src/tensor/tune.ts",
    find: "<= 2 * k * UNIT * magnitudes[i]",
    replace: "<= 2 * k * magnitudes[i]",
    tests: [FAST],
  },
  {
    name: "tuning: a table of fast is used at repeatable",
    file: "src/tensor/tuning.ts",
    find: 'this.determinism === "repeatable" && table.determinism === "fast"',
    replace: "false",
    tests: [FAST],
  },
  {
    name: "tuning: a split way is entered at repeatable",
    file: "src/tensor/tuning.ts",
    find: 'this.determinism === "fast" || !isSplitVariant(variant)',
    replace: "true",
    tests: [FAST],
  },
  {
    name: "tuning: levels share a key",
    file: "src/tensor/tuning.ts",
    find: 'determinism === "fast" ? ["fast", ...parts] : parts',
    replace: "parts",
    tests: [FAST],
  },
  {
    name: "matmul with k shared out: the last parts are left out",
    file: codegen("matmulSplit"),
    find: "${s} = ${parts / 2}u; ${s} > 0u",
    replace: "${s} = ${parts / 4}u; ${s} > 0u",
    tests: [SPLIT],
  },
  {
    name: "matmul with k shared out: no barrier before the parts are joined",
    file: codegen("matmulSplit"),
    find: 'k.line("workgroupBarrier();");\n  const s =',
    replace: "const s =",
    tests: [REFLECTION],
  },
  {
    name: "matmul with k shared out: no barrier between the steps of the join",
    file: codegen("matmulSplit"),
    find: 'k.line("workgroupBarrier();");\n  });',
    replace: "});",
    tests: [REFLECTION],
  },
  {
    name: "matmul with k shared out: parts begin at the same step",
    file: codegen("matmulSplit"),
    find: "`let ${step} = ${turn} * ${parts}u + ${part};`",
    replace: "`let ${step} = ${turn} * ${parts}u;`",
    tests: [SPLIT],
  },
  {
    name: "matmul with k shared out: the steps that parts do not divide are left out",
    file: codegen("matmulSplit"),
    find: "- ${part} + ${parts - 1}u) / ${parts}u`",
    replace: "- ${part}) / ${parts}u`",
    tests: [SPLIT],
  },
  {
    name: "matmul with k shared out: a tile that is moved back stores what the tile before stores",
    file: codegen("matmulSplit"),
    find: "[`${l} >= ${columns.skip}`]",
    replace: "[`${l} >= 0u * ${columns.skip}`]",
    tests: [SPLIT],
  },
  {
    name: "attention: the last key that is seen is left out",
    file: "src/shaders/attention.ts",
    find: "let to${i} = min(${to(i)}, p.keys);",
    replace: "let to${i} = min(${to(i)}, p.keys - 1u);",
    tests: [ops("attention")],
  },
  {
    name: "cachedAttention: the first key of its own counts as shared",
    file: "src/shaders/attention.ts",
    find: "s${j} < split)",
    replace: "s${j} <= split)",
    tests: [ops("cachedAttention")],
  },
  // Submissions and decoding
  {
    name: "commands: a write of the host overtakes runs",
    file: "src/tensor/webgpu.ts",
    find: "        this.commands.flush();\n        this.device.queue.writeBuffer(",
    replace: "        this.device.queue.writeBuffer(",
    tests: [SUBMISSIONS],
  },
  {
    name: "commands: numbers overtake the runs before",
    file: "src/tensor/program.ts",
    find: "if (this.usedIn === commands.current) commands.flush();",
    replace: "",
    tests: [SUBMISSIONS],
  },
  {
    name: "commands: a buffer is destroyed before the runs that use it",
    file: "src/tensor/buffers.ts",
    find: "    this.submit();\n    buffer.destroy();",
    replace: "    buffer.destroy();",
    tests: [SUBMISSIONS],
  },
  {
    name: "patch: rows beyond the last are written",
    file: codegen("map"),
    find: "k.block(`if (${row} < ${k.size(state.shape[0])})`,",
    replace: "k.block(`if (${row} <= 0xffffffffu)`,",
    tests: [STATES],
  },
  {
    name: "decode: lanes too many have the last row",
    file: "src/model/generateGraph.ts",
    find: "row: layout.rows, source: 0,",
    replace: "row: layout.rows - 1, source: 0,",
    tests: ["test/model/lanes.test.ts"],
  },
  {
    name: "generate: what a row draws after its end is handed on",
    file: "src/model/generate.ts",
    find: "tokens.fill(request.padTokenId, r * width + n, (r + 1) * width);",
    replace: "",
    tests: ["test/model/lanes.test.ts"],
  },
  {
    name: "attention: dK and dV see a query too many",
    file: "src/shaders/attention.ts",
    find: "(to${m} > vec4<u32>(s${i}))",
    replace: "(to${m} >= vec4<u32>(s${i}))",
    tests: ["test/tensor/attention.test.ts"],
  },
  {
    name: "sample: threshold is exclusive",
    file: "src/shaders/templates.ts",
    find: "if (kept >= k) { low = mid; }",
    replace: "if (kept > k) { low = mid; }",
    tests: [ops("sample")],
  },
  {
    name: "chainSum: last element of a list dropped",
    file: "src/shaders/templates.ts",
    find: "if (i >= length) { break; }",
    replace: "if (i >= length - 1u) { break; }",
    tests: [ops("scatterAdd")],
  },
  // Index algebra
  {
    name: "mod: bound off by one",
    file: "src/tensor/affine.ts",
    find: "  const { rest } = splitBy(e, c);\n  if (maxOf(rest) < c) return rest;",
    replace: "  const { rest } = splitBy(e, c);\n  if (maxOf(rest) <= c) return rest;",
    tests: [AFFINE],
  },
  {
    name: "div: bound off by one",
    file: "src/tensor/affine.ts",
    find: "if (maxOf(e) < c) return ZERO;",
    replace: "if (maxOf(e) <= c) return ZERO;",
    tests: [AFFINE],
  },
  {
    name: "common factor: low part may reach the factor",
    file: "src/tensor/affine.ts",
    find: "if (maxOf(low) < g) {",
    replace: "if (maxOf(low) <= g) {",
    tests: [AFFINE],
  },
  {
    name: "emit: a plain position keeps the form in which it came",
    file: codegen("emit"),
    find: "const index = plain ? delinearize(position, v.shape) : given;",
    replace: "const index = given;",
    tests: [FUSION],
  },
  // Memory
  {
    name: "memory: free one step early",
    file: pass("memory"),
    find: "if (b.until < from || b.from > until) continue;",
    replace: "if (b.until <= from || b.from > until) continue;",
    tests: [MEMORY],
  },
  {
    name: "memory: last use not counted",
    file: pass("memory"),
    find: "for (const v of [...s.writes, ...s.reads]) {\n      const need",
    replace: "for (const v of s.writes) {\n      const need",
    tests: [MEMORY],
  },
  {
    name: "memory: results beside operands in one arena",
    file: pass("memory"),
    find: "if (taken.has(a)) continue;",
    replace: "void taken;",
    tests: [MEMORY],
  },
  {
    name: "memory: values copied to states die early",
    file: pass("pipeline"),
    find: "const ends = copies.map((c) => c.value).filter(temporary);",
    replace: "const ends: Value[] = []; void copies;",
    tests: [MEMORY],
  },
  // States in place
  {
    name: "in place: whatever else reads the state",
    file: pass("pipeline"),
    find: "if (!stored.has(state)) return true;",
    replace: "if (stored.size >= 0) return true;",
    tests: [STATES, GRAPHS],
  },
  {
    name: "in place: readers of the old value in any order",
    file: pass("pipeline"),
    find: "tryOrder(readersOf(u.input, g))",
    replace: "tryOrder(readersOf(u.input, g).slice(0, 0))",
    tests: [STATES, GRAPHS],
  },
  {
    name: "patch: readers of the old value in any order",
    file: pass("pipeline"),
    find: "extra.push(...readersOf(old, fused.groupOf.get(n) as Group));",
    replace: "extra.push(...readersOf(old, fused.groupOf.get(n) as Group).slice(0, 0));",
    tests: [STATES, GRAPHS],
  },
  {
    name: "templates: operand in place read elsewhere",
    file: codegen("template"),
    find: "ctx.inPlace.get(v) ?? v",
    replace: "v",
    tests: [STATES, GRAPHS],
  },
  // Passes
  {
    name: "fuse: any order counts as the same",
    file: pass("fuse"),
    find: "if (access.blocked || !access.index) return false;",
    replace: "if (!access.index) continue;",
    tests: [FUSION, GRAPHS],
  },
  {
    name: "fuse: paths by way of groups that reach over others are not seen",
    file: pass("fuse"),
    find: "const floor = this.floorOf(to.nodes[0].id);",
    replace: "const floor = to.nodes[0].id;",
    tests: [FUSION],
  },
  {
    name: "fuse: order of elements ignored",
    file: pass("fuse"),
    find: "if (linearize(access.index, value.shape).key !== want.key) return false;",
    replace: "if (want.key === '') return false;",
    tests: [GRAPHS],
  },
  {
    name: "cse: attributes ignored",
    file: pass("cse"),
    find: "${JSON.stringify(node.attrs)}",
    replace: "",
    tests: [REFERENCE],
  },
  {
    name: "simplify: x - 0 becomes 0",
    file: pass("simplify"),
    find: "if (Object.is(constantOf(b), 0)) return [a];",
    replace: "if (Object.is(constantOf(b), 0)) return [b];",
    tests: [REFERENCE],
  },
  {
    name: "simplify: 0 / x counts as x / 1",
    file: pass("simplify"),
    find: '    case "div":\n      if (constantOf(b) === 1) return [a];',
    replace: '    case "div":\n      if (constantOf(b) === 2) return [a];',
    tests: [REFERENCE],
  },
  {
    name: "simplify: every permutation is a reshape",
    file: pass("simplify"),
    find: "[...moving(a.shape, node.attrs.order as number[])].sort((x, y) => x - y),",
    replace: "[...moving(a.shape, node.attrs.order as number[])],",
    tests: [REFERENCE],
  },
  {
    name: "materialize: a result asked for twice is stored once",
    file: pass("expand"),
    find: "if (isComputed(v) && !taken.has(v)) {",
    replace: "if (isComputed(v)) {",
    tests: [GRAPHS],
  },
  // Differentiation
  {
    name: "autodiff: a second use replaces the first",
    file: "src/tensor/autodiff.ts",
    find: "cts.set(v, old ? add(old, g) : g);",
    replace: "cts.set(v, g); void old;",
    tests: [AUTODIFF, GRAPHS],
  },
  {
    name: "autodiff: stopGradient lets it through",
    file: "src/tensor/ops/control.ts",
    find: "vjp: () => [null],",
    replace: "vjp: ({ g }) => [g[0]],",
    tests: [AUTODIFF],
  },
  {
    name: "checkpoint: reads what the first time through made",
    file: "src/tensor/autodiff.ts",
    find: "inputs.map((x) => trace.valueOf(barrier(x, first)))",
    replace: "ext.map((v) => trace.valueOf(barrier(wrap(v), first)))",
    tests: [AUTODIFF],
  },
  // Replay
  {
    name: "tapes: results in other buffers count as the same run",
    file: "src/tensor/tapes.ts",
    find: "if (ids[n++] !== s.bufferId || ids[n++] !== s.offset) return false;",
    replace: "n += 2;",
    tests: [REPLAY],
  },
  {
    name: "tapes: arguments in other buffers count as the same run",
    file: "src/tensor/tapes.ts",
    find: "if (ids[n++] !== (s as GpuStorage).bufferId || ids[n++] !== s.offset) return false;",
    replace: "n += 2;",
    tests: [REPLAY],
  },
];
