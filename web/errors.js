/** The section "Errors, whole": Fail, and a stream that runs into its deadline. */

import { byId, h } from "./dom.js";
import { CODE_NAMES, milliseconds, outcome, spoken } from "./outcome.js";

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
    const exchange = await calls.run("Fail", (demo, options) => demo.fail(request, options));
    byId("fail-status").textContent = spoken(exchange);
    byId("fail-outcome").replaceChildren(...outcome(exchange));
  });

  byId("deadline-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const deadline = byId("deadline").valueAsNumber;
    let messages = 0;
    byId("deadline-status").textContent = "Counting …";
    const exchange = await calls.run("Count", async (demo, options) => {
      const replies = demo.count({ count: 0, intervalMs: INTERVAL }, { ...options, deadline });
      for await (const _ of replies) messages += 1;
    });
    byId("deadline-status").textContent = `${messages} messages. ${spoken(exchange)}`;
    const story =
      `The call took ${milliseconds(exchange.duration)}; it was given ${deadline} ms. The ${messages} messages that ` +
      "came in time stay valid. The gateway was told the deadline with the call and ends it at the backend.";
    byId("deadline-outcome").replaceChildren(...outcome(exchange, h("p.why", story)));
  });
}
