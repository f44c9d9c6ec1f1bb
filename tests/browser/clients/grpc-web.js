/** grpc-web, the client of the gRPC project: binary or base64 text over XMLHttpRequest. */

import { fromJson, toBinary, fromBinary, toJson } from "@bufbuild/protobuf";
import { GrpcWebClientBase, MethodDescriptor } from "grpc-web";
import { Demo, OK, detailsOf, methodOf } from "./demo.js";

export function callByGrpcWeb({ url, method: name, request, metadata, deadline, signal }, onMessage, format) {
  const { input, output, methodKind } = methodOf(name);
  const path = `/${Demo.typeName}/${name}`;
  const descriptor = new MethodDescriptor(
    path,
    methodKind === "unary" ? "unary" : "server_streaming",
    Object,
    Object,
    (message) => toBinary(input, message),
    (bytes) => fromBinary(output, bytes),
  );
  const client = new GrpcWebClientBase({ format });
  const sent = deadline === null ? metadata : { ...metadata, deadline: String(Date.now() + deadline) };
  const onReply = (message) => onMessage(toJson(output, message));
  return new Promise((resolve) => {
    const onError = ({ code, message, metadata: trailers }) =>
      resolve({ code, message, details: detailsOf(trailers?.["grpc-status-details-bin"]) });
    const message = fromJson(input, request);
    if (methodKind === "unary") {
      const onEnd = (error, reply) => {
        if (error) return onError(error);
        onReply(reply);
        resolve(OK);
      };
      client.rpcCall(url + path, message, sent, descriptor, onEnd);
      return;
    }
    const stream = client.serverStreaming(url + path, message, sent, descriptor);
    stream.on("data", onReply);
    stream.on("error", onError);
    stream.on("end", () => resolve(OK));
    signal.addEventListener("abort", () => {
      stream.cancel(); // tells nobody
      resolve({ code: 1, message: "", details: [] });
    });
  });
}
