/** The end of a command that a signal stopped: nobody's mistake, so its message is shown without the error's name. */
import { constants } from "node:os";
import { NaysayError } from "../tensor/errors.ts";

export class Stopped extends NaysayError {
  override name = "Stopped";
  /** As a shell has it: 128 and the signal's number. */
  readonly exitCode: number;

  constructor(message: string, signal: "SIGINT" | "SIGTERM") {
    super(message);
    this.exitCode = 128 + constants.signals[signal];
  }
}
