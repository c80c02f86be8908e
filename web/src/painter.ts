/**
 * Draws what has changed: one piece in a frame, so that no task is long, and each piece at most once in its interval,
 * so that many events cost one drawing.
 */

interface Piece {
  draw(): void;
  /** Least time between two drawings, ms. */
  interval: number;
  dirty: boolean;
  drawn: number;
}

export class Painter {
  private readonly pieces: Piece[] = [];
  private planned = false;

  /** Returns the function that says "this has changed". */
  add(draw: () => void, interval = 0): () => void {
    const piece: Piece = { draw, interval, dirty: false, drawn: Number.NEGATIVE_INFINITY };
    this.pieces.push(piece);
    return () => {
      piece.dirty = true;
      this.plan(0);
    };
  }

  private plan(wait: number): void {
    if (this.planned) return;
    this.planned = true;
    const frame = (): void => {
      requestAnimationFrame(this.frame);
    };
    if (wait > 0) setTimeout(frame, wait);
    else frame();
  }

  private readonly frame = (now: number): void => {
    this.planned = false;
    const waits = this.pieces
      .filter(({ dirty }) => dirty)
      .map((piece) => ({ piece, wait: piece.drawn + piece.interval - now }));
    const due = waits.filter(({ wait }) => wait <= 0).sort((a, b) => a.wait - b.wait);
    if (due.length > 0) this.paint(due[0].piece, now);
    const left = waits.length - (due.length > 0 ? 1 : 0);
    if (left > 0)
      this.plan(
        due.length > 1 ? 0 : Math.min(...waits.filter(({ wait }) => wait > 0).map(({ wait }) => wait)),
      );
  };

  private paint(piece: Piece, now: number): void {
    piece.dirty = false;
    piece.drawn = now;
    piece.draw();
  }
}
