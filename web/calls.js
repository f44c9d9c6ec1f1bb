/** Calls of the demo service as this page makes them: each is recorded, to be shown from request to status. */

import { DemoClient } from "./demo.js";
import { Code, GrpcWebClient, RpcError } from "./grpc-web.js";
import { versionOf } from "./http-version.js";
import { hasExpired } from "./session.js";

const KEPT = 3; // frames at each end; an endless stream must not fill the memory

/** One call: what was sent, what came back, how it ended. */
export class Exchange {
  startedAt = performance.now();
  /** @type {number | null} ms from start to end */
  duration = null;
  /** @type {{url: string, headers: Headers, body: Uint8Array} | null} */
  request = null;
  /** @type {{status: number, headers: Headers} | null} null: the browser got, or shows, no response */
  response = null;
  /** Settles when the response is over; "" if the browser does not tell. @type {Promise<string>} */
  httpVersion = Promise.resolve("");
  /** The first frames and, after `skipped` others, the last. @type {{flags: number, payload: Uint8Array}[]} */
  first = [];
  last = [];
  skipped = 0;
  /** @type {RpcError | null} */
  error = null;
  /** Refused, and the token of the session, which went with it, has expired: to log in again helps. */
  expired = false;
  /** What the call returned. */
  value = undefined;

  /** @param {string} name of the method @param {boolean} text */
  constructor(name, text) {
    this.name = name;
    this.text = text;
  }

  get code() {
    return this.error?.code ?? Code.OK;
  }

  /** @param {import("./grpc-web.js").WireEvent} event */
  record = (event) => {
    if (event.kind === "request") this.httpVersion = versionOf(event.url);
    if (event.kind === "frame") this.#keep(event);
    else this[event.kind] = event;
  };

  #keep(frame) {
    if (this.first.length < KEPT) this.first.push(frame);
    else if (this.last.push(frame) > KEPT) this.skipped += this.last.splice(0, 1).length;
  }
}

/** Makes the calls, one client each, and tells of each by the events "start" and "end", with the exchange as detail. */
export class Calls extends EventTarget {
  /** Speak base64. */
  text = false;
  /** The origin of the gateway that is called. */
  gateway = location.origin;
  #session;

  /** @param {import("./session.js").Session} session @param {string} service */
  constructor(session, service) {
    super();
    this.#session = session;
    this.service = service;
  }

  /**
   * @param {string} name of the method
   * @param {(demo: DemoClient, options: import("./grpc-web.js").CallOptions) => Promise<any>} call passes `options` on,
   *   with its own added
   * @param {{token?: string | null}} [as] another token than that of the session; null: none
   * @returns {Promise<Exchange>} ended, well or not
   */
  async run(name, call, { token = this.#session.token } = {}) {
    const exchange = new Exchange(name, this.text);
    const metadata = token === null ? {} : { authorization: `Bearer ${token}` };
    const client = new GrpcWebClient(this.gateway, { metadata, text: this.text });
    this.#tell("start", exchange);
    try {
      exchange.value = await call(new DemoClient(client, this.service), { onWire: exchange.record });
    } catch (error) {
      if (!(error instanceof RpcError)) throw error;
      exchange.error = error;
    }
    exchange.duration = performance.now() - exchange.startedAt;
    exchange.expired = exchange.code === Code.UNAUTHENTICATED && token === this.#session.token && hasExpired(token);
    this.#tell("end", exchange);
    return exchange;
  }

  #tell(what, exchange) {
    this.dispatchEvent(new CustomEvent(what, { detail: exchange }));
  }
}
