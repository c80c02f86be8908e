/**
 * Mazes as square grids of rooms: which walls are open, how far rooms lie apart, and the walkers that find a way.
 *
 * A maze of odd size n, drawn with a row of squares for each wall, has m x m rooms, m = (n - 1) / 2. Room i lies in row
 * floor(i / m) and column i mod m. `open[i]` has bit d where one can leave room i in direction d.
 */

import type { Rng } from "../../tensor/random.ts";

/** Directions: up, right, down, left; turning right adds 1. */
export const DIRECTIONS = 4;

export interface Grid {
  /** Rooms of a side. */
  readonly side: number;
  readonly open: readonly number[];
}

/** The room in a direction, or -1 outside the grid. */
export function neighbour(side: number, room: number, direction: number): number {
  const row = Math.floor(room / side);
  const column = room % side;
  if (direction === 0) return row > 0 ? room - side : -1;
  if (direction === 1) return column < side - 1 ? room + 1 : -1;
  if (direction === 2) return row < side - 1 ? room + side : -1;
  return column > 0 ? room - 1 : -1;
}

/** The room that a move leads to, or -1 where a wall stands. */
export function step({ side, open }: Grid, room: number, direction: number): number {
  return (open[room] >> direction) & 1 ? neighbour(side, room, direction) : -1;
}

/** A spanning tree by random depth-first search, and a share `loops` of the walls that it leaves taken away. */
export function carve(rng: Rng, side: number, loops: number): Grid {
  const open: number[] = new Array(side * side).fill(0);
  const join = (room: number, direction: number): void => {
    open[room] |= 1 << direction;
    open[neighbour(side, room, direction)] |= 1 << ((direction + 2) % DIRECTIONS);
  };
  const stack = [rng.int(side * side)];
  const seen = new Set(stack);
  while (stack.length > 0) {
    const room = stack[stack.length - 1];
    const fresh = [0, 1, 2, 3].filter((d) => {
      const next = neighbour(side, room, d);
      return next >= 0 && !seen.has(next);
    });
    if (fresh.length === 0) stack.pop();
    else {
      const direction = fresh[rng.int(fresh.length)];
      join(room, direction);
      const next = neighbour(side, room, direction);
      seen.add(next);
      stack.push(next);
    }
  }
  for (let room = 0; room < side * side; room++) {
    for (const direction of [1, 2]) {
      const wall = neighbour(side, room, direction) >= 0 && !((open[room] >> direction) & 1);
      if (wall && rng.uniform() < loops) join(room, direction);
    }
  }
  return { side, open };
}

/** Moves from each room to `goal` by a shortest way; -1 where there is none. */
export function distances(grid: Grid, goal: number): number[] {
  const far: number[] = new Array(grid.open.length).fill(-1);
  far[goal] = 0;
  const queue = [goal];
  for (let i = 0; i < queue.length; i++) {
    for (let d = 0; d < DIRECTIONS; d++) {
      const next = step(grid, queue[i], d);
      if (next < 0 || far[next] >= 0) continue;
      far[next] = far[queue[i]] + 1;
      queue.push(next);
    }
  }
  return far;
}

/** A shortest way, each step drawn among those that come nearer. */
export function shortestWalk(rng: Rng, grid: Grid, start: number, goal: number): number[] {
  const far = distances(grid, goal);
  const moves: number[] = [];
  for (let room = start; room !== goal; ) {
    const nearer = [0, 1, 2, 3].filter((d) => {
      const next = step(grid, room, d);
      return next >= 0 && far[next] === far[room] - 1;
    });
    const direction = nearer[rng.int(nearer.length)];
    moves.push(direction);
    room = step(grid, room, direction);
  }
  return moves;
}

/** The way on the stack of a random depth-first search when it meets the goal: no room twice. */
export function depthFirstWalk(rng: Rng, grid: Grid, start: number, goal: number): number[] {
  const seen = new Set([start]);
  const rooms = [start];
  const moves: number[] = [];
  while (rooms[rooms.length - 1] !== goal) {
    const room = rooms[rooms.length - 1];
    const fresh = [0, 1, 2, 3].filter((d) => {
      const next = step(grid, room, d);
      return next >= 0 && !seen.has(next);
    });
    if (fresh.length === 0) {
      rooms.pop();
      moves.pop();
      continue;
    }
    const direction = fresh[rng.int(fresh.length)];
    const next = step(grid, room, direction);
    seen.add(next);
    rooms.push(next);
    moves.push(direction);
  }
  return moves;
}

/**
 * The walk with one hand on the wall, at first facing up: at each room the first open way of hand side, ahead, other
 * side, back. Undefined where it goes round in a circle or takes more than `maxMoves`.
 */
export function wallWalk(
  grid: Grid,
  start: number,
  goal: number,
  hand: "left" | "right",
  maxMoves: number,
): number[] | undefined {
  const toHand = hand === "left" ? 3 : 1;
  let facing = 0;
  let room = start;
  const moves: number[] = [];
  while (room !== goal) {
    // Going round in a circle ends here too.
    if (moves.length === maxMoves) return undefined;
    const turns = [toHand, 0, DIRECTIONS - toHand, 2];
    const turn = turns.find((t) => step(grid, room, (facing + t) % DIRECTIONS) >= 0);
    if (turn === undefined) return undefined;
    facing = (facing + turn) % DIRECTIONS;
    room = step(grid, room, facing);
    moves.push(facing);
  }
  return moves;
}

/** How many walks of at most `maxMoves` end at the goal and not before; sums above 2^53 are not exact. */
export function walkCount(grid: Grid, start: number, goal: number, maxMoves: number): number {
  let ways = new Map([[start, 1]]);
  let total = 0;
  for (let i = 0; i < maxMoves; i++) {
    const next = new Map<number, number>();
    for (const [room, many] of ways) {
      for (let d = 0; d < DIRECTIONS; d++) {
        const to = step(grid, room, d);
        if (to === goal) total += many;
        else if (to >= 0) next.set(to, (next.get(to) ?? 0) + many);
      }
    }
    ways = next;
  }
  return total;
}

/** Those walks, lexicographically by direction. */
export function* walks(grid: Grid, start: number, goal: number, maxMoves: number): Generator<number[]> {
  const far = distances(grid, goal);
  const moves: number[] = [];
  function* from(room: number): Generator<number[]> {
    if (room === goal) {
      yield [...moves];
      return;
    }
    for (let d = 0; d < DIRECTIONS; d++) {
      const next = step(grid, room, d);
      if (next < 0 || moves.length + 1 + far[next] > maxMoves) continue;
      moves.push(d);
      yield* from(next);
      moves.pop();
    }
  }
  yield* from(start);
}
