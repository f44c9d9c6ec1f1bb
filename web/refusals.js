/**
 * The section "Refusals, explained": calls that must not reach the backend.
 *
 * Rule: a card says what happened, not what should have. If a call comes through, or fails in another way than expected,
 * the card says that.
 */

import { byId, facts, h } from "./dom.js";
import { Code } from "./grpc-web.js";
import { LoginError, begin } from "./login.js";
import { CODE_NAMES, badge, milliseconds } from "./outcome.js";
import { readToken } from "./session.js";

export const EXPIRED = "expired"; // the purpose of a login that is to show an expired token
const LONG_AGO = -3600; // seconds; more than any gateway forgives clocks
const PATIENCE = 10_000; // ms for the foreign frame

const CHECKS = ["Origin", "Token", "Role", "Backend"];

const CASES = {
  "no-token": {
    title: "No token",
    about: "Echo, without an authorization header.",
    expects: Code.UNAUTHENTICATED,
    stops: "Token",
    why:
      "There was no token, so the gateway does not know who calls. It answered itself, and the backend has not heard of " +
      "the call. The HTTP status is 200 all the same: in gRPC-Web the outcome is the grpc-status, at the end of the body.",
  },
  expired: {
    title: "Expired token",
    about: "Echo, with a token that was good an hour ago.",
    expects: Code.UNAUTHENTICATED,
    stops: "Token",
    why:
      "The signature is genuine, but the claim exp lies in the past, by the gateway’s clock. Which check failed stands " +
      "in the gateway’s log; the answer does not say, so that nobody learns how to forge a better token.",
  },
  role: {
    title: "Missing role",
    about: "Shout, as a reader. It needs the role admin.",
    expects: Code.PERMISSION_DENIED,
    stops: "Role",
    why:
      "The token is good, so the gateway knows who calls; but a rule gives this method to another role. That is " +
      "PERMISSION_DENIED and not UNAUTHENTICATED: to log in again as the same person would not help.",
  },
  foreign: {
    title: "Foreign origin",
    about: "Echo, from a sandboxed frame, which belongs to no site.",
    stops: "Origin",
    why:
      "Before a script may call another origin with these headers, the browser asks the server there: a preflight. The " +
      "gateway did not name this origin in its answer, so the browser never sent the call, and keeps from the script " +
      "why. Its console knows; a page gets a TypeError, whatever went wrong. A client other than a browser could lie " +
      "about its origin: this check protects your users’ browsers, the token protects the data.",
  },
};

/** @param {import("./app.js").Page} page */
export function showRefusals({ calls, config, session, trouble }) {
  const runs = { "no-token": noToken, expired: expiredToken, role: missingRole, foreign: foreignOrigin };
  byId("cases").append(...Object.keys(CASES).map(card));
  return { showExpired };

  function card(id) {
    const { title, about } = CASES[id];
    const button = h("button", { type: "button", id: `try-${id}`, "data-testid": `try-${id}`, onclick: runs[id] }, "Try it");
    button.setAttribute("aria-describedby", `about-${id}`);
    return h("article.case", { id: `case-${id}`, "data-testid": `case-${id}`, "aria-labelledby": `title-${id}` },
      h("h3", { id: `title-${id}` }, title),
      h("p", { id: `about-${id}` }, about),
      button,
      h("p.status", { id: `status-${id}`, role: "status", "data-testid": `status-${id}` }),
      h("div.result", { id: `result-${id}`, "data-testid": `result-${id}` }),
    );
  }

  async function noToken() {
    show("no-token", await echo(null));
  }

  /** A token can only be had at the issuer, so this leaves the page; `showExpired` goes on when it comes back. */
  function expiredToken() {
    if (!config.issuer) return say("expired", "No issuer is configured here, so there is no token to expire.");
    say("expired", "On the way to the issuer, for a token that has expired …");
    return begin(config, { expiresIn: LONG_AGO, purpose: EXPIRED }).catch((error) => {
      if (!(error instanceof LoginError)) throw error;
      say("expired", "");
      trouble(error.message);
    });
  }

  async function showExpired(token) {
    byId("case-expired").scrollIntoView({ block: "center" });
    byId("try-expired").focus({ preventScroll: true });
    show("expired", await echo(token), token);
  }

  async function missingRole() {
    if (session.token === null) return say("role", "Log in first, as a reader.");
    const call = (demo, options) => demo.shout({ text: "as a reader" }, options);
    return show("role", await calls.run("Shout", call), session.token);
  }

  function echo(token) {
    return calls.run("Echo", (demo, options) => demo.echo({ text: "is anybody there?" }, options), { token });
  }

  async function foreignOrigin() {
    say("foreign", "A frame is calling …");
    const frame = h("iframe", {
      sandbox: "allow-scripts",
      src: `foreign.html#${calls.service}/Echo`,
      title: "A page of another origin",
    });
    const answer = outcomeOf(frame);
    byId("result-foreign").replaceChildren(frame);
    const outcome = await answer;
    say("foreign", outcome.error ? "The browser stopped the call." : "The call came through.");
    byId("result-foreign").append(...foreignResult(outcome));
  }

  function show(id, exchange, token = null) {
    const { expects, stops, why } = CASES[id];
    const { code, name } = exchange;
    const asExpected = code === expects;
    const unexpected =
      code === Code.OK
        ? `Nothing was refused: the gateway let this ${name} through. ${id === "role" ? "Log in as a reader to see it stopped." : ""}`
        : `This call was to end with ${CODE_NAMES[expects]}. It ended in another way, for the reason above.`;
    say(id, `${name} ended with ${CODE_NAMES[code]} after ${milliseconds(exchange.duration)}.`);
    byId(`result-${id}`).replaceChildren(
      h("p.headline", badge(code)),
      ...(asExpected || code === Code.OK ? [gate(asExpected ? stops : null)] : []),
      h("h4", "Sent"),
      h("dl.facts", {}, ...sent(exchange, token)),
      h("h4", "Came back"),
      h("dl.facts", { "data-testid": `back-${id}` }, ...cameBack(exchange)),
      h("h4", "Why"),
      h("p.why", { "data-testid": `why-${id}` }, asExpected ? why : unexpected),
    );
  }

  function say(id, text) {
    byId(`status-${id}`).textContent = text;
  }
}

/** How far the call came. @param {string | null} stops the check that refused it */
function gate(stops) {
  const stopped = stops === null ? CHECKS.length : CHECKS.indexOf(stops);
  const state = (index) => (index < stopped ? "passed" : index === stopped ? "stopped here" : "not reached");
  const steps = CHECKS.map((check, index) =>
    h(`li.${state(index).split(" ")[0]}`, {}, h("b", check), h("span", check === "Backend" && index < stopped ? "reached" : state(index))),
  );
  return h("ol.gate", { "aria-label": "How far the call came" }, ...steps);
}

function sent({ request }, token) {
  const expiry = token === null ? null : readToken(token).claims.exp;
  const validity = typeof expiry !== "number" ? "" : expiry * 1000 > Date.now() ? ", not expired" : ", expired";
  return facts(
    ["request", `POST ${new URL(request.url).pathname}`],
    ["origin", location.origin],
    ["authorization", token === null ? "none" : `Bearer ${token.slice(0, 8)}…${validity}`],
    ["roles", token === null ? null : [readToken(token).claims.roles ?? "unknown"].flat().join(", ")],
  );
}

function cameBack({ response, error, code }) {
  const header = (name) => error?.metadata.get(name);
  return facts(
    ["HTTP status", response?.status ?? "none"],
    ["grpc-status", `${code} ${CODE_NAMES[code]}`],
    ["grpc-message", error?.message],
    ["www-authenticate", header("www-authenticate")],
  );
}

function foreignResult({ origin, url, error, status, blockedByPolicy }) {
  const { stops, why } = CASES.foreign;
  const policy = `The frame’s own policy (${blockedByPolicy}) stopped the call, which says nothing about the gateway.`;
  const reason = blockedByPolicy ? policy : error ? why : "Nothing was refused: this gateway allows the origin null.";
  return [
    error && !blockedByPolicy ? gate(stops) : "",
    h("h4", "Sent"),
    h("dl.facts", {}, ...facts(
      ["request", `POST ${new URL(url).pathname}`],
      ["origin", origin],
      ["first", "OPTIONS, asked by the browser on its own"],
    )),
    h("h4", "Came back"),
    h("dl.facts", { "data-testid": "back-foreign" }, ...facts(
      ["to the script", error || `HTTP ${status}`],
      ["HTTP status", error && "hidden from the script"],
      ["grpc-status", error && "none: there was no call"],
    )),
    h("h4", "Why"),
    h("p.why", { "data-testid": "why-foreign" }, reason),
  ];
}

/** What the frame reports. A message from anywhere else is not an answer. */
function outcomeOf(frame) {
  return new Promise((resolve) => {
    const silent = { origin: "null", url: frame.src, error: "the frame did not report", status: null, blockedByPolicy: "" };
    const timer = setTimeout(() => settle(silent), PATIENCE);
    addEventListener("message", listen);

    function listen(event) {
      if (event.source === frame.contentWindow && event.origin === "null") settle(event.data);
    }

    function settle(outcome) {
      clearTimeout(timer);
      removeEventListener("message", listen);
      resolve(outcome);
    }
  });
}
