/**
 * Calls of demo.v1.Demo through gRPC-Web clients that others wrote, for Chromium and Node alike.
 *
 * Rule: what to call comes in as JSON and what happens goes out as JSON, each message when it arrives, so that the tests
 * say for every client and runtime at once what has to happen.
 *
 * grpc-web speaks XMLHttpRequest alone, so it runs in browsers only. Its generator is to be had as a download alone; here
 * it calls through the same classes that generated code would. In its binary format it hands out messages when the
 * stream has ended, in its text format as they come.
 */

import { callByConnect } from "./connect.js";
import { callByGrpcWeb } from "./grpc-web.js";
import { callByProtobufTs } from "./protobuf-ts.js";

const CLIENTS = {
  "connect-web": callByConnect,
  "grpc-web binary": (call, onMessage) => callByGrpcWeb(call, onMessage, "binary"),
  "grpc-web text": (call, onMessage) => callByGrpcWeb(call, onMessage, "text"),
  "protobuf-ts binary": (call, onMessage) => callByProtobufTs(call, onMessage, "binary"),
  "protobuf-ts text": (call, onMessage) => callByProtobufTs(call, onMessage, "text"),
};

/** @type {Map<number, AbortController>} */
const controls = new Map();

/**
 * @typedef {{id: number, client: string, url: string, method: string, request: object,
 *   metadata: Record<string, string>, deadline: number | null}} Call `deadline`: ms from now
 * @typedef {{code: number, message: string, details: {reason: string, domain: string}[]}} Status
 * @typedef {{id: number, message: object} | {id: number, end: Status}} Report
 */

/** @param {Call} call @param {(report: Report) => void} report ends with an `end`, however the call does */
export async function start({ id, client, ...call }, report) {
  const control = new AbortController();
  controls.set(id, control);
  const end = await CLIENTS[client]({ ...call, signal: control.signal }, (message) => report({ id, message }));
  controls.delete(id);
  report({ id, end });
}

/** @param {number} id */
export function cancel(id) {
  controls.get(id)?.abort();
}
