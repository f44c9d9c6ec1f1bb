/** The section "One message, one answer": Echo, Shout and WhoAmI. */

import { byId, facts, h } from "./dom.js";
import { outcome, spoken, whileWaiting } from "./outcome.js";

const DEADLINE = 5000; // ms

/** @param {import("./app.js").Page} page */
export function showUnary({ calls }) {
  const form = byId("unary-form");
  const [status, place] = [byId("unary-status"), byId("unary-outcome")];
  const methods = {
    Echo: (demo, options) => demo.echo({ text: byId("unary-text").value }, options),
    Shout: (demo, options) => demo.shout({ text: byId("unary-text").value }, options),
    WhoAmI: (demo, options) => demo.whoAmI({ ...options, metadata: { traceparent: traceparent() } }),
  };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const name = event.submitter?.value ?? "Echo";
    const call = calls.run(name, (demo, options) => methods[name](demo, { ...options, deadline: DEADLINE }));
    const exchange = await whileWaiting(call, status, place);
    status.textContent = spoken(exchange);
    place.replaceChildren(...outcome(exchange, ...reply(exchange)));
  });
}

/** A new trace, for the backend to find it by (W3C Trace Context); a header that every gateway lets pages send. */
function traceparent() {
  const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const random = (length) => hex(crypto.getRandomValues(new Uint8Array(length)));
  return `00-${random(16)}-${random(8)}-01`;
}

function reply({ error, name, value }) {
  if (error) return [];
  if (name !== "WhoAmI") return [h("p.reply", { "data-testid": "reply" }, value.text)];
  const known = facts(
    ["the gateway is", value.gateway],
    ["it calls from", value.peer],
    ["you are", value.subject || "nobody: the call had no token"],
    ["your roles", value.roles.join(", ") || "none"],
    ["time left", value.deadline && `${value.deadline} s`],
  );
  const rows = [...value.metadata].sort().map(([key, one]) => h("tr", h("th", { scope: "row" }, key), h("td", one)));
  return [
    h("dl.facts", { "data-testid": "whoami-facts" }, ...known),
    h(
      "table",
      { "data-testid": "whoami-metadata" },
      h("caption", "Metadata that arrived"),
      h("thead", h("tr", h("th", { scope: "col" }, "Name"), h("th", { scope: "col" }, "Value"))),
      h("tbody", {}, ...rows),
    ),
  ];
}
