/** How the end of a call is put into words. */

import { ErrorInfo } from "./demo.js";
import { facts, h } from "./dom.js";
import { Code } from "./grpc-web.js";

export const CODE_NAMES = Object.keys(Code);

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

/** For a status line that is read aloud. @param {import("./calls.js").Exchange} exchange */
export function spoken({ name, code, duration }) {
  return `${name} ended with ${CODE_NAMES[code]} after ${milliseconds(duration)}.`;
}

/** Code, time, message and details. @param {import("./calls.js").Exchange} exchange @param {...Node} body */
export function outcome({ name, code, duration, error }, ...body) {
  const wire = h("a", { href: "#wire-view", "data-opens": "wire-view" }, "see it on the wire");
  return [
    h("p.headline", badge(code), h("span.meta", `${name}, ${milliseconds(duration)}, `, wire)),
    error && h("p.message", { "data-testid": "message" }, error.message || "(no message)"),
    error && h("dl.facts", { "data-testid": "error-facts" }, ...facts(["stated by", SOURCES[error.source]], ...details(error))),
    ...body,
  ].filter(Boolean);
}

/** The details of an error as pairs. @param {import("./status.js").RpcError} error */
function details({ details }) {
  return details.flatMap(({ typeUrl, value }) => {
    const type = typeUrl.split("/").at(-1);
    if (type !== "google.rpc.ErrorInfo") return [[type, `${value.length} bytes`]];
    const { reason, domain, metadata } = ErrorInfo.decode(value);
    return [
      ["detail", type],
      ["reason", reason],
      ["domain", domain],
      ...metadata,
    ];
  });
}
