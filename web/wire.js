/** The section "The wire": the latest call, byte by byte. */

import { byId, h } from "./dom.js";
import { TRAILER_FLAG, frame, toBase64 } from "./frames.js";
import { CODE_NAMES, SHOW_WIRE, milliseconds, version } from "./outcome.js";
import { ProtobufError, fields } from "./protobuf.js";

const SHOWN = 128; // bytes of a payload
const SHOWN_TEXT = 400; // characters of base64

/** @param {import("./app.js").Page} page */
export function showWire({ calls, config }) {
  const view = byId("wire-view");
  let shown = null;
  const show = ({ detail: exchange }) => {
    shown = exchange;
    const state = shown.duration === null ? "under way" : `${CODE_NAMES[shown.code]}, ${milliseconds(shown.duration)}`;
    byId("wire-summary").textContent = `${shown.name}, ${state}`;
    if (view.open) byId("wire-frames").replaceChildren(...exchangeView(shown));
  };
  calls.addEventListener("start", show);
  calls.addEventListener("end", show);
  view.addEventListener("toggle", () => shown && show({ detail: shown }));
  document.addEventListener(SHOW_WIRE, (event) => {
    view.open = true;
    show(event);
  });
  byId("encoding").addEventListener("change", (event) => (calls.text = event.target.value === "text"));
  offerGateways(calls, config.gateways);
}

/** A choice, if there is one: the gateway that this page came from, and the others. */
function offerGateways(calls, gateways) {
  const own = gateways.find(({ url }) => url === location.origin) ?? { name: "gateway", url: location.origin };
  const others = gateways.filter((gateway) => gateway !== own);
  const option = ({ name, url }) => {
    const radio = h("input", { type: "radio", name: "gateway", value: url, "data-testid": "gateway" });
    radio.checked = url === calls.gateway;
    return h("label", radio, ` ${name} (${url})`);
  };
  byId("gateways").append(...[own, ...others].map(option));
  byId("gateways").addEventListener("change", (event) => (calls.gateway = event.target.value));
  for (const id of ["gateways", "gateways-hint"]) byId(id).hidden = others.length === 0;
}

/** @param {import("./calls.js").Exchange} exchange */
function exchangeView(exchange) {
  const { request, response, first, last, skipped, text, duration } = exchange;
  const titled = (before) => (one, index) =>
    frameView(one, one.flags === TRAILER_FLAG ? "The trailer" : `Message ${before + index + 1}`, text);
  const sent = request && [
    h("pre.head", [`POST ${request.url}`, `origin: ${location.origin}`, ...lines(request.headers)].join("\n")),
    frameView({ flags: 0, payload: request.body.subarray(5) }, "The message", text),
  ];
  const came = response && [
    h(
      "pre.head",
      version(exchange, { unknown: "HTTP" }),
      [` ${response.status}`, ...lines(response.headers)].join("\n"),
    ),
    ...first.map(titled(0)),
    skipped > 0 && h("p.hint", `… ${skipped} more …`),
    ...last.map(titled(first.length + skipped)),
  ];
  const nothing = duration === null ? "Nothing yet." : "Nothing that the browser would show.";
  return [
    h("div.direction", h("h3", "Request"), ...(sent ?? [h("p.hint", "Nothing was sent.")])),
    h("div.direction", h("h3", "Response"), ...(came ?? [h("p.hint", nothing)])),
  ];
}

/** A token on a screen is a token lost: its beginning is enough to know it by. */
function lines(headers) {
  return [...headers].map(([name, value]) =>
    name === "authorization" ? `${name}: ${value.slice(0, 16)}… (${value.length} characters)` : `${name}: ${value}`,
  );
}

function frameView({ flags, payload }, title, text) {
  const bytes = frame(payload);
  bytes[0] = flags;
  const isTrailer = flags === TRAILER_FLAG;
  const travels = () => h("p.base64", "travels as ", shortened(toBase64(bytes.subarray(0, SHOWN_TEXT))));
  const content = isTrailer ? "trailer" : "message";
  return h(
    "figure.frame",
    { "data-testid": `wire-${content}` },
    h("figcaption", `${title}, ${payload.length} ${payload.length === 1 ? "byte" : "bytes"}`),
    h("p.key", h("span.flags", "flags"), h("span.length", "length"), h("span.payload", content)),
    hexView(bytes),
    text && travels(),
    isTrailer ? h("pre.meaning", new TextDecoder().decode(payload).trim()) : meaning(payload),
  );
}

function hexView(bytes) {
  const shown = bytes.subarray(0, SHOWN + 5);
  const part = (index) => (index < 1 ? "flags" : index < 5 ? "length" : "payload");
  const cells = Array.from(shown, (byte, index) => h(`b.${part(index)}`, hexadecimal(byte)));
  return h("p.hex", {}, ...cells, bytes.length > shown.length && h("span", `… ${bytes.length - shown.length} more`));
}

function shortened(text) {
  return h("code", text.length < SHOWN_TEXT ? text : `${text.slice(0, SHOWN_TEXT)}…`);
}

/** A message read without its declaration: numbers of fields and what they hold. */
function meaning(payload) {
  if (payload.length === 0) return h("p.hint", "An empty message: every field has its default, and none is sent.");
  try {
    const rows = Array.from(fields(payload), ({ number, value }) => `field ${number} = ${readable(value)}`);
    return h("pre.meaning", rows.join("\n"));
  } catch (error) {
    if (!(error instanceof ProtobufError)) throw error;
    return h("p.hint", `Not protobuf: ${error.message}.`);
  }
}

function readable(value) {
  if (typeof value === "bigint") return String(value);
  const part = value.subarray(0, SHOWN);
  const more = value.length > part.length ? ` … ${value.length} bytes` : "";
  return (printable(part) ?? Array.from(part, hexadecimal).join(" ")) + more;
}

/** As quoted text, or null for bytes that are none. A character that `SHOWN` cut in two is left out. */
function printable(bytes) {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: true });
    return /\p{Cc}/u.test(text) ? null : JSON.stringify(text);
  } catch {
    return null;
  }
}

function hexadecimal(byte) {
  return byte.toString(16).padStart(2, "0");
}
