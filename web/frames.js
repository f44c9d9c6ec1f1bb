/**
 * The body of a gRPC-Web call: frames of one flag byte, a length of four bytes and a payload, plain or as base64.
 *
 * Rule: the network may cut a body anywhere, so nothing here assumes that a chunk is a frame; and a length is judged
 * before anything is kept for it.
 *
 * Source: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md
 */

import { concatenate } from "./protobuf.js";

export const TRAILER_FLAG = 0x80;
const HEAD = 5; // bytes before the payload
const latin1 = new TextDecoder("latin1");

/** A body that breaks the protocol. */
export class FrameError extends Error {
  name = "FrameError";
  /** @param {string} message @param {{tooLong?: boolean}} [about] */
  constructor(message, { tooLong = false } = {}) {
    super(message);
    this.tooLong = tooLong;
  }
}

/** @param {Uint8Array} payload @returns {Uint8Array} the frame of a message */
export function frame(payload) {
  const head = new Uint8Array(HEAD);
  new DataView(head.buffer).setUint32(1, payload.length);
  return concatenate([head, payload]);
}

/**
 * The frames of a body.
 * @param {AsyncIterable<Uint8Array>} chunks
 * @param {{text: boolean, maxPayload: number}} how
 * @returns {AsyncGenerator<{flags: number, payload: Uint8Array}>}
 * @throws {FrameError}
 */
export async function* readFrames(chunks, { text, maxPayload }) {
  const decode = text ? base64Decoder() : (chunk) => chunk;
  const waiting = new ByteQueue();
  let head = null;
  for await (const chunk of chunks) {
    waiting.push(decode(chunk));
    for (;;) {
      head ??= waiting.take(HEAD);
      if (!head) break;
      const length = new DataView(head.buffer).getUint32(1);
      if (length > maxPayload) throw new FrameError(`a frame of ${length} bytes is too long`, { tooLong: true });
      const payload = waiting.take(length);
      if (!payload) break;
      yield { flags: head[0], payload };
      head = null;
    }
  }
  decode(null);
  if (head || waiting.length) throw new FrameError("the body ended within a frame");
}

/**
 * The payload of a trailer frame: lines of `name: value`.
 * @param {Uint8Array} payload
 * @returns {Headers}
 * @throws {FrameError}
 */
export function parseTrailers(payload) {
  const trailers = new Headers();
  for (const line of latin1.decode(payload).split(/\r?\n/)) {
    if (!line) continue;
    const colon = line.indexOf(":");
    try {
      trailers.append(line.slice(0, Math.max(colon, 0)), line.slice(colon + 1));
    } catch {
      throw new FrameError("the trailer has a line that is no header");
    }
  }
  return trailers;
}

/** Bytes that wait to be whole. Each is copied once, however many chunks a message comes in. */
class ByteQueue {
  #chunks = [];
  length = 0;

  push(chunk) {
    this.#chunks.push(chunk);
    this.length += chunk.length;
  }

  /** The next `count` bytes, or null while there are fewer. */
  take(count) {
    if (count > this.length) return null;
    const parts = [];
    for (let missing = count; missing > 0; ) {
      const chunk = this.#chunks.shift();
      parts.push(chunk.subarray(0, missing));
      if (chunk.length > missing) this.#chunks.unshift(chunk.subarray(missing));
      missing -= Math.min(chunk.length, missing);
    }
    this.length -= count;
    return concatenate(parts);
  }
}

/**
 * A body in base64 is a run of segments, each with padding of its own, and a chunk may end within any of them.
 * @returns {(chunk: Uint8Array | null) => Uint8Array} null: the body has ended
 */
function base64Decoder() {
  let rest = "";
  return (chunk) => {
    const text = rest + (chunk ? latin1.decode(chunk) : "");
    const whole = chunk ? text.length - (text.length % 4) : text.length;
    rest = text.slice(whole);
    const segments = text.slice(0, whole).match(/[^=]+=*|=+/g) ?? [];
    return concatenate(segments.map(fromBase64));
  };
}

/** @param {string} text padded @returns {Uint8Array} */
function fromBase64(text) {
  if (text.length % 4 || !/^[A-Za-z0-9+/]+={0,2}$/.test(text)) throw new FrameError("the body is not base64");
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

/** @param {Uint8Array} bytes @returns {string} padded */
export function toBase64(bytes) {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}

/**
 * The values of a -bin header or trailer, padded or not. What is not base64 is left out.
 * @param {Headers} metadata
 * @param {string} name
 * @returns {Uint8Array[]}
 */
export function binaryMetadata(metadata, name) {
  const values = (metadata.get(name) ?? "").split(",").map((value) => value.trim().replace(/=+$/, ""));
  const base64 = values.filter((value) => /^[A-Za-z0-9+/]+$/.test(value) && value.length % 4 !== 1);
  return base64.map((value) => fromBase64(value.padEnd(Math.ceil(value.length / 4) * 4, "=")));
}
