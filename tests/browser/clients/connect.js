/** @connectrpc/connect-web: binary gRPC-Web over fetch. */

import { fromJson, toJson } from "@bufbuild/protobuf";
import { ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { Demo, OK, errorInfo, methodOf } from "./demo.js";

export async function callByConnect({ url, method: name, request, metadata, deadline, signal }, onMessage) {
  const { input, output, localName, methodKind } = methodOf(name);
  const call = createClient(Demo, createGrpcWebTransport({ baseUrl: url }))[localName];
  const options = { headers: metadata, timeoutMs: deadline ?? undefined, signal };
  const message = fromJson(input, request);
  const takesStream = methodKind === "client_streaming" || methodKind === "bidi_streaming";
  try {
    const reply = call(takesStream ? streamOf(message) : message, options);
    if (methodKind === "unary" || methodKind === "client_streaming") onMessage(toJson(output, await reply));
    else for await (const each of reply) onMessage(toJson(output, each));
    return OK;
  } catch (error) {
    const { code, rawMessage, details } = ConnectError.from(error);
    return { code, message: rawMessage, details: details.map(({ value }) => errorInfo(value)) };
  }
}

async function* streamOf(message) {
  yield message;
}
