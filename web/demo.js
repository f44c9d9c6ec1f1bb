/**
 * The messages of protos/demo/v1/demo.proto that a browser can send and receive, and a client of that service.
 * Client streaming and bidirectional methods are missing: no browser streams a request body over fetch to HTTP/1.1.
 */

import { Code, RpcError } from "./grpc-web.js";
import { ProtobufError, bytes, int32, map, message, repeated, string, uint32 } from "./protobuf.js";

export const EchoRequest = message({ text: [1, string], payload: [2, bytes] });
export const EchoReply = message({ text: [1, string], payload: [2, bytes] });
export const WhoAmIRequest = message({});
export const WhoAmIReply = message({
  gateway: [1, string],
  subject: [2, string],
  roles: [3, repeated(string)],
  metadata: [4, map(string, string)],
  deadline: [5, string],
  peer: [6, string],
});
export const CountRequest = message({ count: [1, uint32], intervalMs: [2, uint32], payloadBytes: [3, uint32] });
export const CountReply = message({ number: [1, uint32], payload: [2, bytes] });
export const FailRequest = message({ code: [1, int32], message: [2, string], detail: [3, string] });
export const FailReply = message({});

/** google.rpc.ErrorInfo, a detail of a failed call. */
export const ErrorInfo = message({ reason: [1, string], domain: [2, string], metadata: [3, map(string, string)] });

/** @typedef {import("./grpc-web.js").CallOptions} CallOptions */

export class DemoClient {
  #client;
  #service;

  /**
   * @param {import("./grpc-web.js").GrpcWebClient} client
   * @param {string} [service]
   */
  constructor(client, service = "demo.v1.Demo") {
    this.#client = client;
    this.#service = service;
  }

  /** @param {{text?: string, payload?: Uint8Array}} request @param {CallOptions} [options] */
  echo(request, options) {
    return this.#unary("Echo", EchoRequest.encode(request), EchoReply, options);
  }

  /** @param {{text?: string, payload?: Uint8Array}} request @param {CallOptions} [options] */
  shout(request, options) {
    return this.#unary("Shout", EchoRequest.encode(request), EchoReply, options);
  }

  /** @param {CallOptions} [options] */
  whoAmI(options) {
    return this.#unary("WhoAmI", WhoAmIRequest.encode(), WhoAmIReply, options);
  }

  /** @param {{code: number, message?: string, detail?: string}} request @param {CallOptions} [options] */
  fail(request, options) {
    return this.#unary("Fail", FailRequest.encode(request), FailReply, options);
  }

  /**
   * @param {{count?: number, intervalMs?: number, payloadBytes?: number}} request
   * @param {CallOptions} [options]
   */
  async *count(request, options) {
    const replies = this.#client.serverStream(`${this.#service}/Count`, CountRequest.encode(request), options);
    for await (const reply of replies) yield decode(CountReply, reply);
  }

  async #unary(method, request, type, options) {
    const { message } = await this.#client.unary(`${this.#service}/${method}`, request, options);
    return decode(type, message);
  }
}

function decode(type, reply) {
  try {
    return type.decode(reply);
  } catch (cause) {
    if (!(cause instanceof ProtobufError)) throw cause;
    throw new RpcError(Code.INTERNAL, `the reply cannot be read: ${cause.message}`, { cause });
  }
}
