/** @protobuf-ts/grpcweb-transport: binary or base64 text over fetch. */

import { GrpcStatusCode, GrpcWebFetchTransport } from "@protobuf-ts/grpcweb-transport";
import { MessageType, ScalarType } from "@protobuf-ts/runtime";
import { RpcError, ServiceType } from "@protobuf-ts/runtime-rpc";
import { OK, detailsOf } from "./demo.js";

const { BYTES, INT32, STRING, UINT32 } = ScalarType;
const scalar = (no, name, T) => ({ no, name, kind: "scalar", T });
const texts = (no, name) => ({ ...scalar(no, name, STRING), repeat: 2 });
const textMap = (no, name) => ({ no, name, kind: "map", K: STRING, V: { kind: "scalar", T: STRING } });

const TEXT_AND_PAYLOAD = [scalar(1, "text", STRING), scalar(2, "payload", BYTES)];
const EchoRequest = new MessageType("demo.v1.EchoRequest", TEXT_AND_PAYLOAD);
const EchoReply = new MessageType("demo.v1.EchoReply", TEXT_AND_PAYLOAD);
const WhoAmIRequest = new MessageType("demo.v1.WhoAmIRequest", []);
const WhoAmIReply = new MessageType("demo.v1.WhoAmIReply", [
  scalar(1, "gateway", STRING),
  scalar(2, "subject", STRING),
  texts(3, "roles"),
  textMap(4, "metadata"),
  scalar(5, "deadline", STRING),
  scalar(6, "peer", STRING),
]);
const CountRequest = new MessageType("demo.v1.CountRequest", [
  scalar(1, "count", UINT32),
  scalar(2, "interval_ms", UINT32),
  scalar(3, "payload_bytes", UINT32),
]);
const CountReply = new MessageType("demo.v1.CountReply", [scalar(1, "number", UINT32), scalar(2, "payload", BYTES)]);
const FailRequest = new MessageType("demo.v1.FailRequest", [
  scalar(1, "code", INT32),
  scalar(2, "message", STRING),
  scalar(3, "detail", STRING),
]);
const FailReply = new MessageType("demo.v1.FailReply", []);
const CollectReply = new MessageType("demo.v1.CollectReply", [scalar(1, "count", UINT32), scalar(2, "text", STRING)]);

const Demo = new ServiceType("demo.v1.Demo", [
  { name: "Echo", options: {}, I: EchoRequest, O: EchoReply },
  { name: "Shout", options: {}, I: EchoRequest, O: EchoReply },
  { name: "WhoAmI", options: {}, I: WhoAmIRequest, O: WhoAmIReply },
  { name: "Count", serverStreaming: true, options: {}, I: CountRequest, O: CountReply },
  { name: "Fail", options: {}, I: FailRequest, O: FailReply },
  { name: "Collect", clientStreaming: true, options: {}, I: EchoRequest, O: CollectReply },
  { name: "Chat", clientStreaming: true, serverStreaming: true, options: {}, I: EchoRequest, O: EchoReply },
]);

export async function callByProtobufTs({ url, method: name, request, metadata, deadline, signal }, onMessage, format) {
  const method = Demo.methods.find((each) => each.name === name);
  const transport = new GrpcWebFetchTransport({ baseUrl: url, format });
  const options = transport.mergeOptions({ meta: metadata, timeout: deadline ?? undefined, abort: signal });
  const input = method.I.fromJson(request);
  try {
    if (method.clientStreaming) {
      const call = method.serverStreaming ? transport.duplex(method, options) : transport.clientStreaming(method, options);
      await call.requests.send(input);
      await call.requests.complete();
      await call;
    } else if (method.serverStreaming) {
      const call = transport.serverStreaming(method, input, options);
      for await (const reply of call.responses) onMessage(method.O.toJson(reply));
      await call;
    } else {
      onMessage(method.O.toJson((await transport.unary(method, input, options)).response));
    }
    return OK;
  } catch (error) {
    if (!(error instanceof RpcError)) throw error;
    const details = detailsOf(error.meta["grpc-status-details-bin"]);
    const message = decodeURIComponent(error.message); // it leaves grpc-message as it came
    return { code: GrpcStatusCode[error.code], message, details };
  }
}
