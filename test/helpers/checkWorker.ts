/** A worker that checks one op and posts the report. */

import { runCheck } from "../../src/check/run.ts";

postMessage(await runCheck({ tier: "T0", ops: ["sum"] }));
