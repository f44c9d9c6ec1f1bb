/** The section "One message, one answer": Echo, Shout and WhoAmI. */

import { byId, facts, h } from "./dom.js";
import { outcome, spoken } from "./outcome.js";

const DEADLINE = 5000; // ms; so that WhoAmI has one to tell of

/** @param {import("./app.js").Page} page */
export function showUnary({ calls }) {
  const form = byId("unary-form");
  const methods = {
    echo: () => calls.run("Echo", (demo, options) => demo.echo({ text: text() }, { ...options, deadline: DEADLINE })),
    shout: () => calls.run("Shout", (demo, options) => demo.shout({ text: text() }, { ...options, deadline: DEADLINE })),
    whoami: () => {
      const metadata = { "x-sample": "from the page", "x-sample-bin": Uint8Array.of(0xca, 0xfe) };
      return calls.run("WhoAmI", (demo, options) => demo.whoAmI({ ...options, deadline: DEADLINE, metadata }));
    },
  };
  const text = () => byId("unary-text").value;

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const exchange = await methods[event.submitter?.value ?? "echo"]();
    byId("unary-status").textContent = spoken(exchange);
    byId("unary-outcome").replaceChildren(...outcome(exchange, ...reply(exchange)));
  });
}

function reply({ error, name, value }) {
  if (error) return [];
  if (name !== "WhoAmI") return [h("p.reply", { "data-testid": "reply" }, value.text)];
  return [
    h("dl.facts", { "data-testid": "whoami-facts" }, ...facts(
      ["the gateway is", value.gateway],
      ["it calls from", value.peer],
      ["you are", value.subject || "nobody: the call had no token"],
      ["your roles", value.roles.join(", ") || "none"],
      ["time left", value.deadline && `${value.deadline} s`],
    )),
    h("table", { "data-testid": "whoami-metadata" },
      h("caption", "Metadata that arrived"),
      h("thead", h("tr", h("th", { scope: "col" }, "Name"), h("th", { scope: "col" }, "Value"))),
      h("tbody", {}, ...[...value.metadata].sort().map(([key, one]) => h("tr", h("th", { scope: "row" }, key), h("td", one)))),
    ),
  ];
}
