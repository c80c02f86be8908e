/**
 * Paths in small graphs: write the nodes of a way from one node to another. Several ways lead there.
 *
 *     BOS a b  a c  b d  c d ...  > a d :   ->   a b d EOS   or   a c d EOS   or ...
 *
 * The prompt lists the edges, each as its two nodes, in any order; an edge can be walked both ways. A path enters no node
 * twice, so there are finitely many and all can be listed.
 */

import { Tokenizer } from "../../model/tokenizer.ts";
import { ConfigError } from "../../tensor/errors.ts";
import type { Rng } from "../../tensor/random.ts";
import { type Infer, integer, object, validate, withDefault } from "../../tensor/validate.ts";
import type { Problem, Split, Task, Trace, Verdict } from "../task.ts";
import { DrawnProblems } from "./problems.ts";
import { drawTrace, modeWeightsOf, poolRules, traceRules } from "./traces.ts";
import { answerOf, isVerdict, RIGHT, wrong } from "./verdicts.ts";

/** Kinds of paths by their number of nodes: fewest; most, if more; between them. */
export const graphPathModes = ["shortest", "between", "longest"] as const;
export type GraphPathMode = (typeof graphPathModes)[number];

const rules = object({
  /** Nodes of a graph. */
  nodes: withDefault(integer({ min: 3, max: 10 }), 7),
  /** Edges of a graph; it is connected. */
  edges: withDefault(integer({ min: 3, max: 45 }), 10),
  /** Fewest paths between the ends of a problem. */
  paths: withDefault(integer({ min: 1, max: 100 }), 3),
  ...traceRules,
  ...poolRules,
});
export type GraphPathConfig = Infer<typeof rules> & {
  /** Weights of shortest, between, longest. */
  modeWeights: number[];
};

const NAMES = "abcdefghij";
const FIRST_NODE = 3;
/** Graphs that are drawn for one problem before the configuration is called too strict. */
const TRIES = 2000;

/** A graph as pairs of nodes, and the ends of the path. */
interface Posed {
  edges: readonly (readonly [number, number])[];
  from: number;
  to: number;
}

interface GraphProblem extends Posed {
  key: string;
  paths: number[][];
}

/** Every path from one node to another that enters no node twice, lexicographically. */
export function simplePaths({ edges, from, to }: Posed, nodes: number): number[][] {
  const next: number[][] = Array.from({ length: nodes }, () => []);
  for (const [a, b] of edges) {
    next[a].push(b);
    next[b].push(a);
  }
  for (const list of next) list.sort((a, b) => a - b);
  const found: number[][] = [];
  const path = [from];
  const extend = (): void => {
    const last = path[path.length - 1];
    if (last === to) {
      found.push([...path]);
      return;
    }
    for (const node of next[last]) {
      if (path.includes(node)) continue;
      path.push(node);
      extend();
      path.pop();
    }
  };
  extend();
  return found;
}

/** The mode of a path among all paths of its problem. */
function modeAmong(paths: readonly number[][], path: readonly number[]): GraphPathMode {
  let [least, most] = [path.length, path.length];
  for (const { length } of paths) {
    least = Math.min(least, length);
    most = Math.max(most, length);
  }
  if (path.length === least) return "shortest";
  return path.length === most ? "longest" : "between";
}

/** The task; its problems, traces and verdicts as the head of this file says. */
export class GraphPath implements Task {
  readonly name = "graph-path";
  readonly config: GraphPathConfig;
  readonly tokenizer: Tokenizer;
  readonly promptLength: number;
  readonly maxCompletionLength: number;
  readonly #problems: DrawnProblems<GraphProblem>;

  /** Throws a `ConfigError` on a bad configuration. */
  constructor(config: Partial<GraphPathConfig> = {}) {
    const checked = validate("graph-path", rules, config);
    const { nodes, edges, heldOutShare, pool } = checked;
    const most = (nodes * (nodes - 1)) / 2;
    if (edges < nodes - 1 || edges > most) {
      throw new ConfigError(
        `graph-path: edges: ${nodes - 1} to ${most} expected for ${nodes} nodes, got ${edges}. A connected graph needs the first, a complete one has the last.`,
      );
    }
    this.config = {
      ...checked,
      modeWeights: modeWeightsOf("graph-path", graphPathModes, checked.modeWeights, [0.6, 0.25, 0.15]),
    };
    this.tokenizer = new Tokenizer("symbol", [...NAMES.slice(0, nodes), ">", ":"]);
    this.promptLength = 2 * edges + 5;
    this.maxCompletionLength = nodes + 1;
    this.#problems = new DrawnProblems(
      { name: "graph-path", heldOutShare, pool, remedy: "add nodes or edges" },
      (rng) => this.#draw(rng),
    );
  }

  #draw(rng: Rng): GraphProblem {
    const { nodes, edges: count, paths: least } = this.config;
    for (let i = 0; i < TRIES; i++) {
      const edges = connectedGraph(rng, nodes, count);
      const from = rng.int(nodes);
      const to = (from + 1 + rng.int(nodes - 1)) % nodes;
      const paths = simplePaths({ edges, from, to }, nodes);
      if (paths.length < least) continue;
      const key = `${edges.map((edge) => edge.join("-")).join()}:${from}>${to}`;
      return { key, edges, from, to, paths };
    }
    throw new ConfigError(
      `graph-path: paths: graphs with at least ${least} paths expected, found none in ${TRIES}. Ask for fewer paths or more edges.`,
    );
  }

  count(split: Split): number | undefined {
    return this.#problems.count(split);
  }

  sample(rng: Rng, split: Split): Problem {
    return this.#pose(rng, this.#problems.sample(rng, split));
  }

  distinct(rng: Rng, split: Split, count: number): Problem[] {
    return this.#problems.distinct(rng, split, count).map((problem) => this.#pose(rng, problem));
  }

  /** The edges in any order, each from either end. */
  #pose(rng: Rng, { key, edges, from, to, paths }: GraphProblem): Problem {
    const listed = rng.shuffle([...edges]).flatMap(([a, b]) => (rng.int(2) === 0 ? [a, b] : [b, a]));
    const names = [...listed.map((node) => NAMES[node]), ">", NAMES[from], NAMES[to], ":"];
    const prompt = [this.tokenizer.bos, ...this.tokenizer.encode(names.join(" "))];
    return { key, prompt, modes: accepted(paths) };
  }

  trace(rng: Rng, problem: Problem): Trace {
    const paths = this.#paths(problem.prompt);
    return drawTrace(rng, accepted(paths), {
      modes: graphPathModes,
      ...this.config,
      eos: this.tokenizer.eos,
      write: (mode) => {
        const fitting = paths.filter((path) => modeAmong(paths, path) === mode);
        return fitting[rng.int(fitting.length)].map((node) => FIRST_NODE + node);
      },
      corrupt: (answer) => this.#corrupt(rng, problem.prompt, answer),
    });
  }

  /** One node after the first replaced by another, or one between the ends left out. */
  #corrupt(rng: Rng, prompt: readonly number[], answer: readonly number[]): readonly number[] {
    const { nodes } = this.config;
    for (;;) {
      const at = 1 + rng.int(answer.length - 1);
      const other = FIRST_NODE + ((answer[at] - FIRST_NODE + 1 + rng.int(nodes - 1)) % nodes);
      const cut = at < answer.length - 1 && rng.int(2) === 0;
      const changed = cut ? answer.toSpliced(at, 1) : answer.with(at, other);
      if (this.verify(prompt, [...changed, this.tokenizer.eos]).reward === 0) return changed;
    }
  }

  /**
   * Judges a path: `right`, `wrongStart`, `noEdge`, `repeated` (a node twice), `wrongEnd`, `malformed` (something else
   * than nodes), `unfinished` or `trailing`. Throws a ConfigError for a prompt that is none of this task's.
   */
  verify(prompt: readonly number[], completion: readonly number[]): Verdict {
    const { edges, from, to } = this.#read(prompt);
    const answer = answerOf(completion, this);
    if (isVerdict(answer)) return answer;
    const path = answer.map((id) => id - FIRST_NODE);
    if (path.length === 0 || !path.every((node) => this.#isNode(node))) return wrong("malformed");
    if (path[0] !== from) return wrong("wrongStart", true);
    for (let i = 1; i < path.length; i++) {
      const [a, b] = [path[i - 1], path[i]];
      if (!edges.some(([x, y]) => (x === a && y === b) || (x === b && y === a))) return wrong("noEdge", true);
      if (path.indexOf(b) < i) return wrong("repeated", true);
    }
    return path[path.length - 1] === to ? RIGHT : wrong("wrongEnd", true);
  }

  /** Every path, lexicographically. */
  answers(problem: Problem): Iterable<readonly number[]> {
    return this.#paths(problem.prompt).map((path) => [
      ...path.map((node) => FIRST_NODE + node),
      this.tokenizer.eos,
    ]);
  }

  /** The mode of a right path; null for a wrong one. */
  modeOf(problem: Problem, completion: readonly number[]): GraphPathMode | null {
    if (this.verify(problem.prompt, completion).reward !== 1) return null;
    return modeAmong(
      this.#paths(problem.prompt),
      completion.slice(0, completion.indexOf(this.tokenizer.eos)),
    );
  }

  #paths(prompt: readonly number[]): number[][] {
    return simplePaths(this.#read(prompt), this.config.nodes);
  }

  #isNode(node: number): boolean {
    return Number.isInteger(node) && node >= 0 && node < this.config.nodes;
  }

  #read(prompt: readonly number[]): Posed {
    const count = this.config.edges;
    const { bos, vocab } = this.tokenizer;
    const nodes = prompt.map((id) => id - FIRST_NODE);
    const edges = Array.from({ length: count }, (_, i) => [nodes[1 + 2 * i], nodes[2 + 2 * i]] as const);
    const [from, to] = [nodes[2 * count + 2], nodes[2 * count + 3]];
    if (
      prompt.length !== this.promptLength ||
      prompt[0] !== bos ||
      vocab[prompt[2 * count + 1]] !== ">" ||
      vocab[prompt[2 * count + 4]] !== ":" ||
      ![...edges.flat(), from, to].every((node) => this.#isNode(node)) ||
      from === to
    ) {
      throw new ConfigError(
        `graph-path.verify: a prompt "BOS (${count} edges) > from to :" expected, got ids [${prompt.slice(0, 12).join(", ")}] (${prompt.length}). Pass the problem's prompt.`,
      );
    }
    return { edges, from, to };
  }
}

/** The modes with a path, in their fixed order. */
function accepted(paths: readonly number[][]): GraphPathMode[] {
  const found = new Set(paths.map((path) => modeAmong(paths, path)));
  return graphPathModes.filter((mode) => found.has(mode));
}

/** A random tree, each node joined to one before it in a random order, and other edges drawn until there are enough. */
function connectedGraph(rng: Rng, nodes: number, count: number): (readonly [number, number])[] {
  const order = rng.shuffle(Array.from({ length: nodes }, (_, i) => i));
  const edges: [number, number][] = [];
  const join = (a: number, b: number): void => {
    edges.push(a < b ? [a, b] : [b, a]);
  };
  for (let i = 1; i < nodes; i++) join(order[i], order[rng.int(i)]);
  const others: [number, number][] = [];
  for (let a = 0; a < nodes; a++) {
    for (let b = a + 1; b < nodes; b++) if (!edges.some(([x, y]) => x === a && y === b)) others.push([a, b]);
  }
  for (const [a, b] of rng.shuffle(others).slice(0, count - edges.length)) join(a, b);
  return edges.sort(([a, b], [c, d]) => a - c || b - d);
}
