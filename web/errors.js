/** The section "Errors, whole": Fail, and a stream that runs into its deadline. */

import { byId, h } from "./dom.js";
import { CODE_NAMES, milliseconds, outcome, spoken, whileWaiting } from "./outcome.js";

const INTERVAL = 200; // ms between the messages that run into the deadline

/** @param {import("./app.js").Page} page */
export function showErrors({ calls }) {
  const failures = CODE_NAMES.slice(1).map((name, index) => h("option", { value: index + 1 }, `${index + 1} ${name}`));
  byId("fail-code").append(...failures);
  byId("fail-code").value = "9";

  byId("fail-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const request = {
      code: Number(byId("fail-code").value),
      message: byId("fail-message").value,
      detail: byId("fail-detail").value,
    };
    const [status, place] = [byId("fail-status"), byId("fail-outcome")];
    const call = calls.run("Fail", (demo, options) => demo.fail(request, options));
    const exchange = await whileWaiting(call, status, place);
    status.textContent = spoken(exchange);
    place.replaceChildren(...outcome(exchange));
  });

  byId("deadline-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const deadline = byId("deadline").valueAsNumber;
    let messages = 0;
    const [status, place] = [byId("deadline-status"), byId("deadline-outcome")];
    const call = calls.run("Count", async (demo, options) => {
      const replies = demo.count({ count: 0, intervalMs: INTERVAL }, { ...options, deadline });
      for await (const _ of replies) messages += 1;
    });
    const exchange = await whileWaiting(call, status, place, "Counting …");
    status.textContent = `${messages} messages. ${spoken(exchange)}`;
    const story =
      `The call took ${milliseconds(exchange.duration)}; it was given ${deadline} ms. The ${messages} messages that ` +
      "came in time stay valid. The gateway was told the deadline with the call and ends it at the backend.";
    place.replaceChildren(...outcome(exchange, h("p.why", story)));
  });
}
