/**
 * How a call ends: the status codes of gRPC and the one error a caller sees.
 *
 * Rule: an answer that is not a well-formed OK is an RpcError, whatever it was instead.
 *
 * Source: https://github.com/grpc/grpc/blob/master/doc/statuscodes.md
 */

import { binaryMetadata } from "./frames.js";
import { bytes, int32, message as protobuf, repeated, string } from "./protobuf.js";

export const Code = Object.freeze({
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
});
const CODE_NAMES = Object.keys(Code);

// For an answer that is not gRPC: https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md
const CODE_OF_HTTP = {
  400: Code.INTERNAL,
  401: Code.UNAUTHENTICATED,
  403: Code.PERMISSION_DENIED,
  404: Code.UNIMPLEMENTED,
  429: Code.UNAVAILABLE,
  502: Code.UNAVAILABLE,
  503: Code.UNAVAILABLE,
  504: Code.UNAVAILABLE,
};

const Any = protobuf({ typeUrl: [1, string], value: [2, bytes] });
const Status = protobuf({ code: [1, int32], message: [2, string], details: [3, repeated(Any)] }); // google.rpc.Status

/** A call that failed. `message` is the grpc-message, decoded. */
export class RpcError extends Error {
  name = "RpcError";

  /**
   * @param {number} code
   * @param {string} message
   * @param {{metadata?: Headers, source?: "trailer" | "header" | "http" | "client", cause?: unknown}} [about]
   */
  constructor(code, message, { metadata = new Headers(), source = "client", cause } = {}) {
    super(message, { cause });
    /** A gRPC status code. */
    this.code = code;
    /** Its name, e.g. "PERMISSION_DENIED". */
    this.codeName = CODE_NAMES[code];
    /** Where the status stood: in the trailer frame, in the response head, in the HTTP status; or it was made here. */
    this.source = source;
    /** Response headers and trailers together, as far as the browser shows them. */
    this.metadata = metadata;
    /** grpc-status-details-bin as it came. @type {Uint8Array | null} */
    this.detailsBytes = binaryMetadata(metadata, "grpc-status-details-bin")[0] ?? null;
    /** Its google.rpc.Status: one entry for each Any. @type {{typeUrl: string, value: Uint8Array}[]} */
    this.details = decodeDetails(this.detailsBytes);
  }
}

/**
 * The error that a block of trailers states.
 * @param {Headers} trailers with a grpc-status
 * @param {"trailer" | "header"} source
 * @param {Headers} [headers] the response head, when the trailers are not part of it
 * @returns {RpcError | null} null for OK
 */
export function statusError(trailers, source, headers = new Headers()) {
  const status = trailers.get("grpc-status") ?? "";
  if (status === "0") return null;
  const metadata = new Headers(headers);
  for (const [name, value] of trailers) metadata.append(name, value);
  const about = { metadata, source };
  if (!/^[1-9]\d?$/.test(status) || Number(status) >= CODE_NAMES.length) {
    return new RpcError(Code.UNKNOWN, `the answer has no valid grpc-status, but "${status}"`, about);
  }
  return new RpcError(Number(status), decodeMessage(trailers.get("grpc-message") ?? ""), about);
}

/**
 * The error that an answer which is not gRPC-Web amounts to.
 * @param {Response} response
 */
export function httpError({ status, headers }) {
  if (headers.has("grpc-status") && headers.get("grpc-status") !== "0") return statusError(headers, "header");
  const text = status === 200 ? "the answer is not gRPC-Web" : `the server answered with HTTP status ${status}`;
  return new RpcError(CODE_OF_HTTP[status] ?? Code.UNKNOWN, text, { metadata: headers, source: "http" });
}

/** The error of a request without an answer. A browser does not tell a page why: it might probe private networks. */
export function unreachable(cause) {
  const text = "no answer: the network is down, the gateway is away, or it does not allow this page's origin (CORS)";
  return new RpcError(Code.UNAVAILABLE, text, { cause });
}

/** Percent-decodes a grpc-message and leaves alone what is no escape. */
function decodeMessage(text) {
  const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
  return text.replace(/(?:%[0-9A-Fa-f]{2})+/g, (run) =>
    utf8.decode(Uint8Array.from(run.slice(1).split("%"), (hex) => parseInt(hex, 16))),
  );
}

/** A broken detail must not hide the status it came with. */
function decodeDetails(bytes) {
  try {
    return bytes ? Status.decode(bytes).details : [];
  } catch {
    return [];
  }
}
