/** The clients in Node: a call or a cancellation on each line of stdin, a report on each line of stdout. Ends with stdin. */

import { createInterface } from "node:readline";
import { cancel, start } from "./dist/calls.js";

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  if ("cancel" in order) cancel(order.cancel);
  else start(order, (report) => process.stdout.write(`${JSON.stringify(report)}\n`));
}
process.exit();
