/**
 * A gRPC-Web client: unary calls and server streams, binary or base64 text, with deadlines, cancellation, metadata and
 * error details. Copy this file, status.js, frames.js and protobuf.js into your page; there is nothing to install.
 *
 *     const metadata = () => ({ authorization: `Bearer ${token}` });
 *     const client = new GrpcWebClient("https://api.example.com", { metadata });
 *     const { message } = await client.unary("shop.v1.Orders/GetOrder", requestBytes, { deadline: 5000 }); // ms
 *     const control = new AbortController(); // control.abort() cancels the call, and so does leaving the loop
 *     const messages = client.serverStream("shop.v1.Orders/Watch", requestBytes, { signal: control.signal });
 *     for await (const message of messages) { ... }
 *
 * Rule: whatever goes wrong on the way, the caller sees one kind of error, an RpcError with a gRPC status code.
 *
 * Source: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md
 */

import { FrameError, TRAILER_FLAG, frame, parseTrailers, readFrames, toBase64 } from "./frames.js";
import { Code, RpcError, httpError, statusError, unreachable } from "./status.js";

export { binaryMetadata } from "./frames.js";
export { Code, RpcError } from "./status.js";

const LONGEST_TIMER = 2 ** 31 - 1; // ms; setTimeout fires at once beyond it

/**
 * @typedef {Record<string, string | Uint8Array>} Metadata names that end in -bin take bytes
 *
 * What travels, for who wants to look on: the request, the response head, each frame.
 * @typedef {{kind: "request", url: string, headers: Headers, body: Uint8Array}
 *   | {kind: "response", status: number, headers: Headers}
 *   | {kind: "frame", flags: number, payload: Uint8Array}} WireEvent
 *
 * @typedef {object} CallOptions
 * @property {number} [deadline] milliseconds from now; kept here and sent as grpc-timeout
 * @property {AbortSignal} [signal] cancels the call
 * @property {Metadata} [metadata] for this call, over that of the client
 * @property {(headers: Headers) => void} [onHeaders] the response head, before the first message
 * @property {(trailers: Headers) => void} [onTrailers] after the last message, also of a failed call
 * @property {(event: WireEvent) => void} [onWire]
 */

export class GrpcWebClient {
  #baseUrl;
  #metadata;
  #text;
  #maxMessage;

  /**
   * @param {string} baseUrl e.g. "https://api.example.com"
   * @param {object} [options]
   * @param {Metadata | (() => Metadata | Promise<Metadata>)} [options.metadata] sent with each call; a function is
   *   asked each time, so that a token can be renewed
   * @param {boolean} [options.text] speak base64: for roads that spoil binary bodies
   * @param {number} [options.maxMessage] bytes; a longer message ends the call with RESOURCE_EXHAUSTED
   */
  constructor(baseUrl, { metadata = {}, text = false, maxMessage = 16 * 1024 * 1024 } = {}) {
    this.#baseUrl = baseUrl.replace(/\/+$/, "");
    this.#metadata = metadata;
    this.#text = text;
    this.#maxMessage = maxMessage;
  }

  /**
   * One message there, one message back.
   * @param {string} method "package.Service/Method"
   * @param {Uint8Array} request an encoded message
   * @param {CallOptions} [options]
   * @returns {Promise<{message: Uint8Array, headers: Headers, trailers: Headers}>}
   * @throws {RpcError}
   */
  async unary(method, request, options = {}) {
    const reply = { message: null, headers: new Headers(), trailers: new Headers() };
    const keep = {
      onHeaders: (headers) => {
        reply.headers = headers;
        options.onHeaders?.(headers);
      },
      onTrailers: (trailers) => {
        reply.trailers = trailers;
        options.onTrailers?.(trailers);
      },
    };
    for await (const message of this.serverStream(method, request, { ...options, ...keep })) {
      if (reply.message) throw new RpcError(Code.UNIMPLEMENTED, "a second message came where one was expected");
      reply.message = message;
    }
    if (!reply.message) throw new RpcError(Code.UNIMPLEMENTED, "no message came where one was expected");
    return reply;
  }

  /**
   * One message there, any number back, each yielded when it arrives. Leaving the loop cancels the call.
   * @param {string} method "package.Service/Method"
   * @param {Uint8Array} request an encoded message
   * @param {CallOptions} [options]
   * @yields {Uint8Array} an encoded message
   * @throws {RpcError}
   */
  async *serverStream(method, request, { deadline, signal, metadata, onHeaders, onTrailers, onWire } = {}) {
    const headers = await this.#requestHeaders(metadata, deadline);
    const transport = new AbortController();
    let ended = null; // how this side ended the call; it goes before the error that fetch makes of that
    const end = (code, text) => {
      ended ??= new RpcError(code, text);
      transport.abort();
    };
    const cancel = () => end(Code.CANCELLED, "cancelled by the caller");
    const expire = () => end(Code.DEADLINE_EXCEEDED, `not finished within ${deadline} ms`);
    const timer = deadline === undefined ? undefined : setTimeout(expire, Math.min(deadline, LONGEST_TIMER));
    signal?.addEventListener("abort", cancel, { once: true });
    if (signal?.aborted) cancel();
    if (deadline <= 0) expire();
    try {
      if (ended) throw ended;
      const response = await this.#send(`${this.#baseUrl}/${method}`, headers, request, transport.signal, onWire);
      onHeaders?.(response.headers);
      for await (const message of this.#receive(response, onTrailers, onWire)) {
        if (ended) throw ended;
        yield message;
      }
    } catch (error) {
      throw ended ?? error;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", cancel);
      transport.abort(); // nothing to a call that has ended, and the end of one whose reader left
    }
  }

  async #requestHeaders(own, deadline) {
    const common = typeof this.#metadata === "function" ? await this.#metadata() : this.#metadata;
    const headers = new Headers();
    for (const [name, value] of Object.entries({ ...common, ...own })) {
      headers.set(name, name.endsWith("-bin") ? toBase64(value).replace(/=+$/, "") : value);
    }
    const type = this.#text ? "application/grpc-web-text+proto" : "application/grpc-web+proto";
    headers.set("content-type", type);
    headers.set("accept", type);
    headers.set("x-grpc-web", "1");
    if (deadline !== undefined) headers.set("grpc-timeout", grpcTimeout(deadline));
    return headers;
  }

  async #send(url, headers, request, signal, onWire) {
    const body = frame(request);
    onWire?.({ kind: "request", url, headers, body });
    const response = await fetch(url, {
      method: "POST",
      headers,
      body: this.#text ? toBase64(body) : body,
      signal,
    }).catch((cause) => {
      throw unreachable(cause);
    });
    onWire?.({ kind: "response", status: response.status, headers: response.headers });
    return response;
  }

  /** The messages of a response. Its status is the end: a return for OK, an RpcError for any other. */
  async *#receive(response, onTrailers, onWire) {
    const { headers } = response;
    const type = headers.get("content-type") ?? "";
    if (response.status !== 200 || !type.startsWith("application/grpc-web")) throw httpError(response);
    const text = type.startsWith("application/grpc-web-text");
    let trailers = null;
    try {
      for await (const { flags, payload } of readFrames(chunksOf(response), { text, maxPayload: this.#maxMessage })) {
        onWire?.({ kind: "frame", flags, payload });
        if (trailers) throw new FrameError("a frame came after the trailer");
        if (flags === TRAILER_FLAG) trailers = parseTrailers(payload);
        else if (flags === 0) yield payload;
        else throw new FrameError(`a frame has the flags ${flags}, which nobody asked for`);
      }
    } catch (error) {
      if (!(error instanceof FrameError)) throw error;
      throw new RpcError(error.tooLong ? Code.RESOURCE_EXHAUSTED : Code.INTERNAL, error.message, { metadata: headers });
    }
    let error;
    if (trailers) error = statusError(trailers, "trailer", headers);
    else if (headers.has("grpc-status")) error = statusError((trailers = headers), "header"); // "trailers-only"
    else throw new RpcError(Code.INTERNAL, "the answer ended without a status", { metadata: headers });
    onTrailers?.(trailers);
    if (error) throw error;
  }
}

async function* chunksOf(response) {
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read().catch((cause) => {
      const text = "the connection was lost within the answer";
      throw new RpcError(Code.UNAVAILABLE, text, { cause, metadata: response.headers });
    });
    if (done) return;
    yield value;
  }
}

/** @param {number} milliseconds @returns {string} at most eight digits and a unit, as PROTOCOL-HTTP2.md asks */
function grpcTimeout(milliseconds) {
  const whole = Math.max(0, Math.ceil(milliseconds));
  return whole < 1e8 ? `${whole}m` : `${Math.min(Math.ceil(whole / 1000), 99_999_999)}S`;
}
