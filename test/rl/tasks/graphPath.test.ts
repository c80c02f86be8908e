import { describe, expect, test } from "vitest";
import { GraphPath, graphPathModes } from "../../../src/rl/tasks/graphPath.ts";
import { Rng, Stream } from "../../../src/tensor/random.ts";
import { promptWords, taskSuite } from "./taskSuite.ts";

/** Edges as text in both directions, and the ends. */
function graph(prompt: readonly string[]) {
  const edges = new Set<string>();
  for (let i = 0; i < prompt.length - 4; i += 2) {
    edges.add(prompt[i] + prompt[i + 1]).add(prompt[i + 1] + prompt[i]);
  }
  return { edges, from: prompt[prompt.length - 3], to: prompt[prompt.length - 2] };
}

function isRight(prompt: readonly string[], answer: readonly string[]): boolean {
  const { edges, from, to } = graph(prompt);
  const steps = answer.slice(1).map((node, i) => answer[i] + node);
  return (
    answer[0] === from &&
    answer.at(-1) === to &&
    steps.every((step) => edges.has(step)) &&
    new Set(answer).size === answer.length
  );
}

taskSuite("graph-path", {
  task: new GraphPath(),
  small: new GraphPath({ nodes: 4, edges: 5, paths: 2 }),
  isRight,
  canonical: (prompt) => {
    const { edges, from, to } = graph(prompt);
    return `${[...edges].sort().join()} ${from} ${to}`;
  },
  wrongReasons: ["noEdge", "repeated", "wrongEnd"],
  modes: graphPathModes,
  weights: [0.6, 0.25, 0.15],
});

describe("graph-path", () => {
  test("graphs have their edges once, are connected, and offer several ways", () => {
    const rng = new Rng(1, Stream.test);
    for (const [nodes, edges, paths] of [
      [7, 10, 3],
      [5, 10, 1],
      [10, 9, 1],
    ]) {
      const task = new GraphPath({ nodes, edges, paths });
      for (let i = 0; i < 50; i++) {
        const problem = task.sample(rng, "train");
        const found = graph(promptWords(task, problem));
        expect(found.edges.size).toBe(2 * edges);
        const reached = new Set([found.from]);
        for (const node of reached)
          for (const edge of found.edges) if (edge[0] === node) reached.add(edge[1]);
        expect(reached.size).toBe(nodes);
        expect([...task.answers(problem)].length).toBeGreaterThanOrEqual(paths);
      }
    }
  });

  test("judges paths; modes by hand", () => {
    const task = new GraphPath({ nodes: 4, edges: 5 });
    const { tokenizer } = task;
    const prompt = [tokenizer.bos, ...tokenizer.encode("a b c b c d d a a c > b d :")];
    const judge = (path: string) => task.verify(prompt, [...tokenizer.encode(path), tokenizer.eos]);
    expect(judge("b a d")).toEqual({ reward: 1, valid: true, reason: "right" });
    expect(judge("b c a d").reason).toBe("right");
    expect(judge("a d")).toEqual({ reward: 0, valid: true, reason: "wrongStart" });
    expect(judge("b d").reason).toBe("noEdge");
    expect(judge("b c b a d").reason).toBe("unfinished"); // five nodes of four
    expect(judge("b c b").reason).toBe("repeated");
    expect(judge("b a").reason).toBe("wrongEnd");
    expect(judge("b > d")).toEqual({ reward: 0, valid: false, reason: "malformed" });
    expect(judge("").reason).toBe("malformed");
    const mode = (path: string) =>
      task.modeOf({ key: "", prompt, modes: [] }, [...tokenizer.encode(path), tokenizer.eos]);
    expect([mode("b c d"), mode("b a c d"), mode("b d")]).toEqual(["shortest", "longest", null]);
    expect(() => task.verify(prompt.slice(1), [])).toThrow(/BOS \(5 edges\) > from to :/);
    expect(() => task.verify(prompt.with(2, prompt.at(-1)!), [])).toThrow(/graph-path\.verify/);
  });

  test("bad configurations are named", () => {
    expect(() => new GraphPath({ nodes: 5, edges: 3 })).toThrow(
      "edges: 4 to 10 expected for 5 nodes, got 3.",
    );
    expect(() => new GraphPath({ nodes: 5, edges: 11 })).toThrow("got 11.");
    expect(() => new GraphPath({ nodes: 11 })).toThrow(/nodes.*\[3, 10\]/);
    const tree = new GraphPath({ nodes: 5, edges: 4, paths: 2 });
    expect(() => tree.sample(new Rng(1, Stream.test), "train")).toThrow(/Ask for fewer paths or more edges/);
  });
});
