/**
 * The section "Refusals, explained": calls that must not reach the backend.
 *
 * Rule: a card says what happened, not what should have. A call that comes through, or fails in another way than it was
 * meant to, is shown as that.
 */

import { byId, facts, h } from "./dom.js";
import { Code } from "./grpc-web.js";
import { LoginError, begin } from "./login.js";
import { CODE_NAMES, headline, loginHint, spoken, whileWaiting } from "./outcome.js";
import { foreignFrame, reportOf } from "./sandbox.js";
import { hasExpired, readToken } from "./session.js";

export const EXPIRED = "expired"; // the purpose of a login that fetches an expired token
const AN_HOUR_AGO = -3600; // seconds; more than any gateway forgives clocks

const CHECKS = ["Origin", "Token", "Role", "Backend"];

const CASES = {
  "no-token": {
    title: "No token",
    about: "Echo, without an authorization header.",
    stops: "Token",
    expects: Code.UNAUTHENTICATED,
    why:
      "There was no token, so the gateway does not know who calls. It answered by itself; the backend has not heard " +
      "of the call. The HTTP status is 200 all the same: in gRPC-Web the outcome is the grpc-status, at the end of " +
      "the body.",
  },
  expired: {
    title: "Expired token",
    about: "Echo, with a token that expired an hour ago. The issuer has it: you go there, and come back signed out.",
    stops: "Token",
    expects: Code.UNAUTHENTICATED,
    why:
      "The signature is genuine, but the claim exp lies in the past by the gateway’s clock. Which check failed " +
      "stands in the gateway’s log; the answer does not say, so that nobody learns how to forge a better token.",
  },
  role: {
    title: "Missing role",
    about: "Shout, as a reader. It needs the role admin.",
    stops: "Role",
    expects: Code.PERMISSION_DENIED,
    why:
      "The token is good, so the gateway knows who calls; but a rule gives this method to another role. That is " +
      "PERMISSION_DENIED and not UNAUTHENTICATED: to log in again as the same person would not help.",
  },
  foreign: {
    title: "Foreign origin",
    about: "Echo, from a sandboxed frame, which belongs to no site.",
    stops: "Origin",
    why:
      "Before a script may call another origin with such headers, the browser asks the server there: a preflight. " +
      "The gateway did not name this origin in its answer, so the browser never sent the call, and does not tell the " +
      "script why: a page gets a TypeError, whatever went wrong. Only the browser’s console says more. This protects " +
      "the people who use browsers. A program can claim any origin; against it stands the token.",
  },
};

const AWAY =
  "Nothing was refused: this page gets no answer either. The gateway is away, or the browser does not trust its " +
  "certificate.";

/** @param {import("./app.js").Page} page */
export function showRefusals({ calls, config, session, trouble }) {
  const tries = { "no-token": tryNoToken, expired: tryExpired, role: tryRole, foreign: tryForeign };
  byId("cases").append(...Object.keys(CASES).map((id) => card(id, tries[id])));
  return { showExpired };

  async function tryNoToken() {
    show("no-token", await waiting("no-token", echo(null)), null);
  }

  /** A token can only be had at the issuer, so this leaves the page. `showExpired` goes on when it is back. */
  async function tryExpired() {
    if (!config.issuer) return sayOnly("expired", "No issuer is configured here, so there is no token to expire.");
    sayOnly("expired", "On the way to the issuer …");
    try {
      await begin(config, { expiresIn: AN_HOUR_AGO, purpose: EXPIRED });
    } catch (error) {
      if (!(error instanceof LoginError)) throw error;
      say("expired", "");
      trouble(error.message);
    }
  }

  /** @param {string} token that has expired */
  async function showExpired(token) {
    show("expired", await waiting("expired", echo(token)), token);
    byId("case-expired").scrollIntoView({ block: "center" });
    byId("try-expired").focus({ preventScroll: true });
  }

  async function tryRole() {
    const { token } = session;
    if (token === null) return sayOnly("role", "Log in first, as a reader.");
    const shout = calls.run("Shout", (demo, options) => demo.shout({ text: "let me in" }, options));
    show("role", await waiting("role", shout), token);
  }

  async function tryForeign() {
    say("foreign", "The frame is calling …");
    const frame = foreignFrame(`${calls.gateway}/${calls.service}/Echo`);
    const report = reportOf(frame);
    byId("result-foreign").replaceChildren(frame);
    const { error } = await report;
    // The script gets the same error from a gateway that is away; this page is told whether it is.
    const away = error !== "" && (await echo(null)).response === null;
    byId("result-foreign").append(...foreignResult(await report, away));
    say("foreign", "The frame has reported.");
  }

  function echo(token) {
    return calls.run("Echo", (demo, options) => demo.echo({ text: "is anybody there?" }, options), { token });
  }
}

function card(id, onclick) {
  const { title, about } = CASES[id];
  const label = `Try it: ${title}`; // four buttons of the same name would be one to a screen reader
  const button = { type: "button", id: `try-${id}`, "data-testid": `try-${id}`, "aria-label": label, onclick };
  return h(
    "article.case",
    { id: `case-${id}`, "data-testid": `case-${id}`, "aria-labelledby": `title-${id}` },
    h("h3", { id: `title-${id}` }, title),
    h("p", about),
    h("button", button, "Try it"),
    h("p.status", { id: `status-${id}`, role: "status", "data-testid": `status-${id}` }),
    h("div.result", { id: `result-${id}`, "data-testid": `result-${id}` }),
  );
}

function say(id, text) {
  byId(`status-${id}`).textContent = text;
}

/** Beside a result it would be said aloud only. */
function sayOnly(id, text) {
  byId(`result-${id}`).replaceChildren();
  say(id, text);
}

function waiting(id, call) {
  return whileWaiting(call, byId(`status-${id}`), byId(`result-${id}`));
}

/** @param {string} id @param {import("./calls.js").Exchange} exchange @param {string | null} token that was sent */
function show(id, exchange, token) {
  const { expects, stops, why } = CASES[id];
  const { code } = exchange;
  const explanation = {
    [Code.OK]: "Nothing was refused: the gateway let this call through. As somebody else it may be stopped.",
    [expects]: why,
  };
  const other = `This call was meant to end with ${CODE_NAMES[expects]}. What came instead is not this refusal.`;
  byId(`result-${id}`).replaceChildren(
    headline(exchange),
    ...(code in explanation ? [gate(code === Code.OK ? null : stops)] : []),
    ...story(id, sent(exchange, token), cameBack(exchange), explanation[code] ?? other),
    ...loginHint(exchange),
  );
  say(id, spoken(exchange));
}

/** @param {import("./sandbox.js").Report} report @param {boolean} away no answer from the gateway to this page either */
function foreignResult({ origin, url, error, status, blockedByPolicy }, away) {
  const { stops, why } = CASES.foreign;
  const sent = [
    ["request", `POST ${url}`],
    ["origin", origin],
    ["before it", "OPTIONS, sent by the browser itself"],
  ];
  const back = [
    ["to the script", error || `HTTP ${status}`],
    ["HTTP status", error && "hidden from the script"],
    ["grpc-status", error && "none: there was no call"],
  ];
  if (blockedByPolicy) return story("foreign", sent, back, `The frame’s own policy, ${blockedByPolicy}, stopped it.`);
  if (!error) return story("foreign", sent, back, "Nothing was refused: this gateway allows the origin null.");
  if (away) return story("foreign", sent, back, AWAY);
  return [gate(stops), ...story("foreign", sent, back, why)];
}

function story(id, sent, back, why) {
  return [
    h("h4", "Sent"),
    h("dl.facts", { "data-testid": `sent-${id}` }, ...facts(...sent)),
    h("h4", "Came back"),
    h("dl.facts", { "data-testid": `back-${id}` }, ...facts(...back)),
    h("h4", "Why"),
    h("p.why", { "data-testid": `why-${id}` }, why),
  ];
}

/** How far the call came. @param {string | null} stops the check that refused it */
function gate(stops) {
  const stopped = stops === null ? CHECKS.length : CHECKS.indexOf(stops);
  const step = (check, index) => {
    if (index < stopped) return h("li.passed", h("b", check), h("span", check === "Backend" ? "reached" : "passed"));
    if (index === stopped) return h("li.stopped", h("b", check), h("span", "stopped here"));
    return h("li", h("b", check), h("span", "not reached"));
  };
  return h("ol.gate", { "aria-label": "How far the call came" }, ...CHECKS.map(step));
}

function sent({ request }, token) {
  const { roles } = token === null ? {} : readToken(token).claims;
  return [
    ["request", request && `POST ${request.url.replace(location.origin, "")}`],
    ["origin", location.origin],
    ["authorization", token === null ? "none" : `Bearer ${token.slice(0, 8)}…${hasExpired(token) ? " (expired)" : ""}`],
    ["roles in it", roles && [roles].flat().join(", ")],
  ];
}

function cameBack({ response, error, code }) {
  return [
    ["HTTP status", response?.status ?? "none"],
    ["grpc-status", `${code} ${CODE_NAMES[code]}`],
    ["grpc-message", error?.message],
    ["www-authenticate", error?.metadata.get("www-authenticate")],
  ];
}
