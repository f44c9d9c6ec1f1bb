/** How the end of a call is put into words. */

import { ErrorInfo } from "./demo.js";
import { facts, h } from "./dom.js";
import { Code } from "./grpc-web.js";
import { ProtobufError } from "./protobuf.js";

export const SHOW_WIRE = "show-wire"; // an event with an exchange as detail, which bubbles to the document

export const CODE_NAMES = Object.keys(Code);

const SOON = 100; // ms; to show that a call waits which is over by then would only flicker

const SOURCES = {
  trailer: "the trailer frame, at the end of the body",
  header: "the response head",
  http: "the HTTP status: the answer was not gRPC-Web",
  client: "this page itself",
};

/** @param {number} ms @returns {string} */
export function milliseconds(ms) {
  if (ms >= 10_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

/** "7 PERMISSION_DENIED", coloured by what it means. @param {number} code */
export function badge(code) {
  const kind = code === 0 ? "good" : code === 1 ? "even" : "bad";
  return h(`strong.badge.${kind}`, { "data-testid": "badge" }, h("span", String(code)), ` ${CODE_NAMES[code]}`);
}

/**
 * Says that a call waits, in place of what the call before left there: nobody must take that for the answer.
 * @param {Promise<import("./calls.js").Exchange>} call
 * @param {HTMLElement} status line that is read aloud
 * @param {HTMLElement} place of the outcome
 * @param {string} [text]
 */
export async function whileWaiting(call, status, place, text = "Calling …") {
  const timer = setTimeout(() => {
    place.replaceChildren();
    status.textContent = text;
  }, SOON);
  try {
    return await call;
  } finally {
    clearTimeout(timer);
  }
}

/** For a status line that is read aloud. @param {import("./calls.js").Exchange} exchange */
export function spoken({ name, code, duration, expired }) {
  const ended = `${name} ended with ${CODE_NAMES[code]} after ${milliseconds(duration)}.`;
  return expired ? `${ended} Your token has expired: log in again.` : ended;
}

/** What to do about a token that has expired. @param {import("./calls.js").Exchange} exchange */
export function loginHint({ expired }) {
  const link = h("a", { href: "#you" }, "log in again");
  return expired ? [h("p", { "data-testid": "login-hint" }, "Your token has expired: ", link, ".")] : [];
}

/** Code, name and time in a line. @param {import("./calls.js").Exchange} exchange */
export function headline(exchange) {
  const show = ({ target }) => target.dispatchEvent(new CustomEvent(SHOW_WIRE, { bubbles: true, detail: exchange }));
  const link = h("a", { href: "#wire", onclick: show, "data-testid": "show-wire" }, "see it on the wire");
  const text = `${exchange.name}, ${milliseconds(exchange.duration)}, `;
  return h("p.headline", badge(exchange.code), h("span.meta", text, version(exchange, { after: ", " }), link));
}

/**
 * "HTTP/2", as soon as the browser tells. It is no news: nothing reads it aloud when it comes.
 * @param {import("./calls.js").Exchange} exchange
 * @param {{unknown?: string, after?: string}} [text] that stands there until then; that follows it
 */
export function version({ httpVersion }, { unknown = "", after = "" } = {}) {
  const place = h("span", { "data-testid": "http-version" }, unknown);
  void httpVersion.then((name) => name && (place.textContent = name + after));
  return place;
}

/** Headline, message and details. @param {import("./calls.js").Exchange} exchange @param {...Node} body */
export function outcome(exchange, ...body) {
  const { error } = exchange;
  if (!error) return [headline(exchange), ...body];
  const known = facts(["stated by", SOURCES[error.source]], ...error.details.flatMap(detail));
  return [
    headline(exchange),
    h("p.message", { "data-testid": "message" }, error.message || "(no message)"),
    ...loginHint(exchange),
    h("dl.facts", { "data-testid": "error-facts" }, ...known),
    ...body,
  ];
}

/** One detail of an error as pairs. Only ErrorInfo is known here; a broken one is shown as any other type. */
function detail({ typeUrl, value }) {
  const type = typeUrl.split("/").at(-1);
  try {
    if (type === "google.rpc.ErrorInfo") {
      const { reason, domain, metadata } = ErrorInfo.decode(value);
      return [["detail", type], ["reason", reason], ["domain", domain], ...metadata];
    }
  } catch (error) {
    if (!(error instanceof ProtobufError)) throw error;
  }
  return [["detail", `${type}, ${value.length} bytes`]];
}
