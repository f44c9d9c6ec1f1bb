// The page's gRPC-Web client and protobuf codec, in Node, against a small HTTP server that speaks gRPC-Web.
// Run: node --test tests/browser/web_client.test.mjs   (Node 18 or newer, no packages)
//
// Rule: the server sends exact bytes, so each test says what is on the wire and not what another client makes of it.

import assert from "node:assert/strict";
import { once } from "node:events";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";

// Browsers know a module by its script tag, Node by a package.json, which has no place in a folder that is served.
const copy = await mkdtemp(join(tmpdir(), "web-client-"));
await cp(fileURLToPath(new URL("../../web/", import.meta.url)), copy, { recursive: true });
await writeFile(join(copy, "package.json"), '{"type": "module"}');
const load = (name) => import(pathToFileURL(join(copy, name)));
const { Code, GrpcWebClient, RpcError, binaryMetadata } = await load("grpc-web.js");
const { frame, readFrames, toBase64 } = await load("frames.js");
const protobuf = await load("protobuf.js");
const { CountReply, DemoClient, EchoReply, EchoRequest, ErrorInfo, FailRequest, WhoAmIReply } = await load("demo.js");

const METHOD = "demo.v1.Demo/Echo";
const BINARY = { "content-type": "application/grpc-web+proto" };
const TEXT = { "content-type": "application/grpc-web-text+proto" };
const bytes = (text) => new TextEncoder().encode(text);
const text = (array) => new TextDecoder().decode(array);
const message = (content) => Buffer.from(frame(typeof content === "string" ? bytes(content) : content));
const trailer = (content) => {
  const block = message(content);
  block[0] = 0x80;
  return block;
};
const OK = trailer("grpc-status:0\r\n");
const hex = (array) => Buffer.from(array).toString("hex");

let server;
let url;
let answer; // (request with .whole, response) => void, set by each test
let requests = [];

before(async () => {
  server = createServer(async (request, response) => {
    response.socket.setNoDelay(true);
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    requests.push(Object.assign(request, { whole: Buffer.concat(chunks) }));
    await answer(request, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  url = `http://127.0.0.1:${server.address().port}`;
});

after(async () => {
  server.closeAllConnections();
  server.close();
  await rm(copy, { recursive: true });
});

beforeEach(() => {
  requests = [];
  answer = reply(BINARY, message("pong"), OK);
});

/** An answer of these chunks at once, or the same cut into single bytes. */
function reply(headers, ...parts) {
  return (_, response) => response.writeHead(200, headers).end(Buffer.concat(parts.map((part) => Buffer.from(part))));
}

async function failure(promise) {
  const error = await promise.then(
    (value) => assert.fail(`the call succeeded: ${JSON.stringify(value)}`),
    (reason) => reason,
  );
  assert.ok(error instanceof RpcError, `not an RpcError but ${error?.stack}`);
  return error;
}

async function collect(stream) {
  const all = [];
  for await (const one of stream) all.push(one);
  return all;
}

async function* chunked(...chunks) {
  yield* chunks.map((chunk) => Uint8Array.from(chunk));
}

// Unary calls

test("a unary call sends one frame and returns message, headers and trailers", async () => {
  const end = trailer("grpc-status:0\r\nx-cost:3\r\nx-cost:4\r\n");
  answer = reply({ ...BINARY, "x-served-by": "b1" }, message("pong"), end);
  const { message: pong, headers, trailers } = await new GrpcWebClient(`${url}/`).unary(METHOD, bytes("ping"));
  assert.equal(text(pong), "pong");
  assert.equal(headers.get("x-served-by"), "b1");
  assert.equal(trailers.get("x-cost"), "3, 4");
  const [{ method, url: path, headers: sent, whole }] = requests;
  assert.deepEqual([method, path], ["POST", "/demo.v1.Demo/Echo"]);
  assert.equal(hex(whole), "0000000004" + hex(bytes("ping")));
  assert.equal(sent["content-type"], "application/grpc-web+proto");
  assert.equal(sent.accept, "application/grpc-web+proto");
  assert.equal(sent["x-grpc-web"], "1");
  assert.equal(sent["grpc-timeout"], undefined);
});

test("metadata comes from the client, asked each time, and from the call, which wins; -bin is unpadded", async () => {
  let asked = 0;
  const metadata = async () => ({ authorization: `Bearer ${++asked}`, "x-who": "client" });
  const client = new GrpcWebClient(url, { metadata });
  await client.unary(METHOD, bytes(""));
  await client.unary(METHOD, bytes(""), { metadata: { "x-who": "call", "x-raw-bin": Uint8Array.of(0xfb, 0xff) } });
  assert.deepEqual(
    requests.map(({ headers }) => headers.authorization),
    ["Bearer 1", "Bearer 2"],
  );
  assert.equal(requests[0].headers["x-who"], "client");
  assert.equal(requests[1].headers["x-who"], "call");
  assert.equal(requests[1].headers["x-raw-bin"], "+/8");
});

test("an empty message is a message", async () => {
  answer = reply(BINARY, message(""), OK);
  assert.equal((await new GrpcWebClient(url).unary(METHOD, bytes(""))).message.length, 0);
  assert.equal(hex(requests[0].whole), "0000000000");
});

test("a unary call with no message or with two is UNIMPLEMENTED", async () => {
  answer = reply(BINARY, OK);
  assert.equal((await failure(new GrpcWebClient(url).unary(METHOD, bytes("")))).code, Code.UNIMPLEMENTED);
  answer = reply(BINARY, message("a"), message("b"), OK);
  assert.equal((await failure(new GrpcWebClient(url).unary(METHOD, bytes("")))).code, Code.UNIMPLEMENTED);
});

// Text mode

test("text mode sends padded base64 and reads segments with padding of their own", async () => {
  const segments = [message("a"), message("bcd"), OK].map((part) => part.toString("base64"));
  assert.ok(segments.some((segment) => segment.endsWith("=")), "the test needs padding in mid-stream");
  answer = reply(TEXT, ...segments);
  const messages = await collect(new GrpcWebClient(url, { text: true }).serverStream(METHOD, bytes("ping")));
  assert.deepEqual(messages.map(text), ["a", "bcd"]);
  assert.equal(requests[0].headers["content-type"], "application/grpc-web-text+proto");
  assert.equal(requests[0].whole.toString(), toBase64(frame(bytes("ping"))));
});

test("the answer's content type decides how it is read", async () => {
  const { message: pong } = await new GrpcWebClient(url, { text: true }).unary(METHOD, bytes("ping"));
  assert.equal(text(pong), "pong");
});

for (const [what, body] of [
  ["white space", message("a").toString("base64") + "\n" + OK.toString("base64")],
  ["the url-safe alphabet", "AAAAAAH_" + OK.toString("base64")],
  ["a quantum cut short", message("ab").toString("base64").slice(0, -1)],
  ["a quantum begun and not ended", message("ab").toString("base64") + OK.toString("base64") + "QQ"],
  ["padding in place of data", "AA==" + "===="],
]) {
  test(`text mode refuses ${what}`, async () => {
    answer = reply(TEXT, body);
    assert.equal((await failure(new GrpcWebClient(url).unary(METHOD, bytes("")))).code, Code.INTERNAL);
  });
}

// Frames

test("a body may be cut anywhere, plain or base64", async () => {
  const parts = [message("first"), message(""), message("the third"), trailer("grpc-status:0\r\n")];
  const plain = Buffer.concat(parts);
  const base64 = Buffer.from(parts.map((part) => part.toString("base64")).join(""));
  for (const [body, isText] of [[plain, false], [base64, true]]) {
    const how = { text: isText, maxPayload: 100 };
    const whole = await collect(readFrames(chunked(body), how));
    assert.deepEqual(whole.map(({ payload }) => text(payload)), ["first", "", "the third", "grpc-status:0\r\n"]);
    for (let cut = 0; cut <= body.length; cut++) {
      assert.deepEqual(await collect(readFrames(chunked(body.subarray(0, cut), body.subarray(cut)), how)), whole);
    }
    assert.deepEqual(await collect(readFrames(chunked(...[...body].map((byte) => [byte])), how)), whole);
  }
});

test("the network may deliver single bytes", async () => {
  answer = async (_, response) => {
    response.writeHead(200, BINARY);
    for (const byte of Buffer.concat([message("one"), message("two"), OK])) {
      await new Promise((sent) => response.write(Uint8Array.of(byte), sent));
    }
    response.end();
  };
  assert.deepEqual((await collect(new GrpcWebClient(url).serverStream(METHOD, bytes("")))).map(text), ["one", "two"]);
});

test("a message is yielded before the next one exists", async () => {
  let response;
  answer = (_, opened) => (response = opened).writeHead(200, BINARY).write(message("1"));
  const stream = new GrpcWebClient(url).serverStream("demo.v1.Demo/Count", bytes(""));
  assert.equal(text((await stream.next()).value), "1");
  response.write(message("2")); // only now: the first was not held back
  assert.equal(text((await stream.next()).value), "2");
  response.end(OK);
  assert.equal((await stream.next()).done, true);
});

test("a message over the limit is refused on its prefix", async () => {
  answer = (_, response) => response.writeHead(200, BINARY).write(Buffer.from("00ffffffff", "hex")); // and no more
  const error = await failure(new GrpcWebClient(url).unary(METHOD, bytes("")));
  assert.equal(error.code, Code.RESOURCE_EXHAUSTED);
});

for (const [what, ...body] of [
  ["without a status", message("pong")],
  ["empty"],
  ["cut within a head", message("pong"), OK.subarray(0, 3)],
  ["cut within a payload", message("pong").subarray(0, 7)],
  ["with a frame after the trailer", message("pong"), OK, message("more")],
  ["with two trailers", message("pong"), OK, OK],
  ["with a compressed message", Buffer.from("01000000026869", "hex"), OK],
  ["with a trailer that is no header block", message("pong"), trailer("nonsense\r\n")],
]) {
  test(`a body ${what} is INTERNAL`, async () => {
    answer = reply(BINARY, ...body);
    const error = await failure(new GrpcWebClient(url).unary(METHOD, bytes("")));
    assert.deepEqual([error.code, error.source], [Code.INTERNAL, "client"]);
  });
}

test("a frame without its payload is INTERNAL, whatever the response head says", async () => {
  answer = reply({ ...BINARY, "grpc-status": "0" }, message("pong"), message("lost").subarray(0, 5));
  assert.equal((await failure(new GrpcWebClient(url).unary(METHOD, bytes("")))).code, Code.INTERNAL);
});

test("a connection lost within the answer is UNAVAILABLE, after the messages that came", async () => {
  answer = (_, response) => response.writeHead(200, BINARY).write(message("1"), () => response.destroy());
  const stream = new GrpcWebClient(url).serverStream(METHOD, bytes(""));
  const seen = [];
  const error = await failure((async () => { for await (const one of stream) seen.push(text(one)); })());
  assert.deepEqual(seen, ["1"]);
  assert.equal(error.code, Code.UNAVAILABLE);
});

// Errors

test("the trailer frame states code, message, details and metadata", async () => {
  // google.rpc.Status{code: 5, message: "gone", details: [Any{type_url: "type.googleapis.com/x", value: 0102}]}
  const any = "0a15" + hex(bytes("type.googleapis.com/x")) + "12020102";
  const status = "0805" + "1204" + hex(bytes("gone")) + "1a1b" + any;
  const details = Buffer.from(status, "hex").toString("base64").replace(/=+$/, "");
  const lines = ["grpc-status:5", "grpc-message:nicht da %E2%80%93 100%25", `grpc-status-details-bin:${details}`];
  answer = reply({ ...BINARY, "www-authenticate": "Bearer" }, trailer([...lines, "x-shelf:7", ""].join("\r\n")));
  let trailers;
  const call = new GrpcWebClient(url).unary(METHOD, bytes(""), { onTrailers: (block) => (trailers = block) });
  const error = await failure(call);
  assert.deepEqual([error.code, error.codeName, error.message], [Code.NOT_FOUND, "NOT_FOUND", "nicht da – 100%"]);
  assert.equal(error.source, "trailer");
  assert.equal(hex(error.detailsBytes), status);
  assert.deepEqual(error.details, [{ typeUrl: "type.googleapis.com/x", value: Uint8Array.of(1, 2) }]);
  assert.deepEqual([error.metadata.get("x-shelf"), error.metadata.get("www-authenticate")], ["7", "Bearer"]);
  assert.equal(trailers.get("grpc-status"), "5");
});

test("a status in the head, without a body, is read too", async () => {
  answer = reply({ ...BINARY, "grpc-status": "7", "grpc-message": "no%21" });
  const error = await failure(new GrpcWebClient(url).unary(METHOD, bytes("")));
  assert.deepEqual([error.code, error.message, error.source], [Code.PERMISSION_DENIED, "no!", "header"]);
  assert.equal(error.metadata.get("grpc-status"), "7");
  answer = reply({ ...BINARY, "grpc-status": "0" });
  assert.deepEqual(await collect(new GrpcWebClient(url).serverStream(METHOD, bytes(""))), []);
});

for (const [raw, decoded] of [
  ["100% sure", "100% sure"],
  ["%zz%4", "%zz%4"],
  ["%E4", "\ufffd"],
  ["%e2%98%95", "☕"],
  ["a%2Cb", "a,b"],
]) {
  test(`grpc-message ${raw} is read as ${decoded}`, async () => {
    answer = reply(BINARY, trailer(`grpc-status:3\r\ngrpc-message:${raw}\r\n`));
    assert.equal((await failure(new GrpcWebClient(url).unary(METHOD, bytes("")))).message, decoded);
  });
}

for (const status of ["", "17", "-1", "0x0", "00", "0, 0", "seven"]) {
  test(`grpc-status "${status}" is UNKNOWN`, async () => {
    answer = reply(BINARY, message("pong"), trailer(`grpc-status:${status}\r\n`));
    assert.equal((await failure(new GrpcWebClient(url).unary(METHOD, bytes("")))).code, Code.UNKNOWN);
  });
}

test("a trailer without grpc-status is UNKNOWN", async () => {
  answer = reply(BINARY, message("pong"), trailer("x-cost:3\r\n"));
  assert.equal((await failure(new GrpcWebClient(url).unary(METHOD, bytes("")))).code, Code.UNKNOWN);
});

test("broken details do not hide the status", async () => {
  answer = reply(BINARY, trailer("grpc-status:5\r\ngrpc-status-details-bin:CgE\r\n"));
  const error = await failure(new GrpcWebClient(url).unary(METHOD, bytes("")));
  assert.deepEqual([error.code, hex(error.detailsBytes), error.details], [Code.NOT_FOUND, "0a01", []]);
});

for (const [status, code] of Object.entries({
  400: "INTERNAL", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "UNIMPLEMENTED", 415: "UNKNOWN",
  429: "UNAVAILABLE", 500: "UNKNOWN", 502: "UNAVAILABLE", 503: "UNAVAILABLE", 504: "UNAVAILABLE",
})) {
  test(`HTTP ${status} without a gRPC status is ${code}`, async () => {
    answer = (_, response) => response.writeHead(Number(status), { "content-type": "text/html" }).end("<h1>oh</h1>");
    const error = await failure(new GrpcWebClient(url).unary(METHOD, bytes("")));
    assert.deepEqual([error.codeName, error.source], [code, "http"]);
  });
}

test("an HTTP error with a gRPC status has that status", async () => {
  answer = (_, response) => response.writeHead(503, { "grpc-status": "8", "grpc-message": "later" }).end();
  const error = await failure(new GrpcWebClient(url).unary(METHOD, bytes("")));
  assert.deepEqual([error.code, error.message], [Code.RESOURCE_EXHAUSTED, "later"]);
});

test("an HTTP error is one, though it calls itself gRPC-Web", async () => {
  answer = (_, response) => response.writeHead(503, BINARY).end(Buffer.concat([message("pong"), OK]));
  assert.equal((await failure(new GrpcWebClient(url).unary(METHOD, bytes("")))).code, Code.UNAVAILABLE);
});

test("a web page in place of an answer is UNKNOWN", async () => {
  answer = (_, response) => response.writeHead(200, { "content-type": "text/html" }).end("log in first");
  assert.equal((await failure(new GrpcWebClient(url).unary(METHOD, bytes("")))).code, Code.UNKNOWN);
});

test("nobody there is UNAVAILABLE", async () => {
  const closed = createServer().listen(0, "127.0.0.1");
  await once(closed, "listening");
  const { port } = closed.address();
  await new Promise((done) => closed.close(done));
  const error = await failure(new GrpcWebClient(`http://127.0.0.1:${port}`).unary(METHOD, bytes("")));
  assert.deepEqual([error.code, error.cause?.name], [Code.UNAVAILABLE, "TypeError"]);
});

// Deadline and cancellation

/** An answer that never ends, and a promise that its connection was closed. */
function endless(...parts) {
  return new Promise((opened) => {
    answer = (request, response) => {
      opened({ closed: once(response, "close") });
      response.writeHead(200, BINARY).flushHeaders();
      for (const part of parts) response.write(part);
    };
  });
}

test("a deadline is sent and kept, and the request is dropped", async () => {
  const open = endless(message("1"));
  const stream = new GrpcWebClient(url).serverStream(METHOD, bytes(""), { deadline: 1000 });
  assert.equal(text((await stream.next()).value), "1");
  const error = await failure(stream.next());
  assert.deepEqual([error.code, error.source], [Code.DEADLINE_EXCEEDED, "client"]);
  assert.equal(requests[0].headers["grpc-timeout"], "1000m");
  await (await open).closed;
});

test("a deadline that has passed sends nothing", async () => {
  const error = await failure(new GrpcWebClient(url).unary(METHOD, bytes(""), { deadline: 0 }));
  assert.equal(error.code, Code.DEADLINE_EXCEEDED);
  assert.equal(requests.length, 0);
});

for (const [deadline, sent] of [
  [60_000.2, "60001m"],
  [99_999_999, "99999999m"],
  [1e8, "100000S"],
  [1e15, "99999999S"], // longer than a timer can be
]) {
  test(`a deadline of ${deadline} ms is sent as ${sent}`, async () => {
    await new GrpcWebClient(url).unary(METHOD, bytes(""), { deadline });
    assert.equal(requests[0].headers["grpc-timeout"], sent);
  });
}

test("a signal cancels the call and drops the request", async () => {
  const open = endless(message("1"));
  const control = new AbortController();
  const stream = new GrpcWebClient(url).serverStream(METHOD, bytes(""), { signal: control.signal });
  await stream.next();
  control.abort();
  assert.equal((await failure(stream.next())).code, Code.CANCELLED);
  await (await open).closed;
});

test("a signal cancels a call that waits for its first byte", async () => {
  const control = new AbortController();
  let closed;
  answer = (_, response) => {
    closed = once(response, "close");
    control.abort();
  };
  const error = await failure(new GrpcWebClient(url).unary(METHOD, bytes(""), { signal: control.signal }));
  assert.equal(error.code, Code.CANCELLED);
  await closed;
});

test("a signal that was given beforehand sends nothing", async () => {
  const error = await failure(new GrpcWebClient(url).unary(METHOD, bytes(""), { signal: AbortSignal.abort() }));
  assert.equal(error.code, Code.CANCELLED);
  assert.equal(requests.length, 0);
});

test("leaving the loop drops the request", async () => {
  const open = endless(message("1"), message("2"));
  for await (const _ of new GrpcWebClient(url).serverStream(METHOD, bytes(""))) break;
  await (await open).closed;
});

test("the wire can be watched", async () => {
  const events = [];
  await new GrpcWebClient(url).unary(METHOD, bytes("ping"), { onWire: (event) => events.push(event) });
  assert.deepEqual(events.map(({ kind }) => kind), ["request", "response", "frame", "frame"]);
  assert.equal(hex(events[0].body), hex(requests[0].whole));
  assert.deepEqual([events[2].flags, events[3].flags], [0, 0x80]);
});

test("-bin values are read padded, unpadded and several", () => {
  const metadata = new Headers([["x-bin", "AQ=="], ["x-bin", "AgM, !!!,BAU"]]);
  assert.deepEqual(binaryMetadata(metadata, "x-bin").map(hex), ["01", "0203", "0405"]);
  assert.deepEqual(binaryMetadata(metadata, "y-bin"), []);
});

// Protobuf

test("messages are written as protoc writes them", () => {
  assert.equal(hex(EchoRequest.encode({ text: "héllo", payload: Uint8Array.of(0, 255) })), "0a0668c3a96c6c6f120200ff");
  assert.equal(hex(EchoRequest.encode({})), "");
  assert.equal(hex(CountReply.encode({ number: 300 })), "08ac02");
  assert.equal(hex(CountReply.encode({ number: 2 ** 32 - 1 })), "08ffffffff0f");
  assert.equal(hex(FailRequest.encode({ code: -1 })), "08ffffffffffffffffff01");
  assert.equal(hex(EchoRequest.encode({ text: "x".repeat(200) })).slice(0, 6), "0ac801");
});

test("messages are read back, unknown fields and other wire types skipped", () => {
  const wire = Buffer.from("0a016112020102" + "1801" + "2a0141" + "3102030405060708ff" + "3d01020304" + "1001", "hex");
  assert.deepEqual(EchoReply.decode(Uint8Array.from(wire)), { text: "a", payload: Uint8Array.of(1, 2) });
  assert.deepEqual(EchoReply.decode(new Uint8Array()), { text: "", payload: new Uint8Array() });
  assert.equal(FailRequest.decode(Buffer.from("08ffffffffffffffffff01", "hex")).code, -1);
  assert.equal(EchoReply.decode(bytes("\n\u0003\ufeff")).text, "\ufeff");
});

test("repeated fields and maps make the round trip, in order, the last of equal keys standing", () => {
  const metadata = [["k", "1"], ["__proto__", "2"]];
  const reply = { roles: ["b", "", "a"], metadata: new Map(metadata), deadline: "4.987" };
  const back = WhoAmIReply.decode(WhoAmIReply.encode(reply));
  assert.deepEqual(back, { gateway: "", subject: "", peer: "", ...reply });
  const twice = Buffer.from("22060a016b120131" + "22060a016b120132" + "2200", "hex");
  assert.deepEqual([...WhoAmIReply.decode(twice).metadata], [["k", "2"], ["", ""]]);
  assert.deepEqual([...ErrorInfo.decode(ErrorInfo.encode({ reason: "R", domain: "d" })).metadata], []);
});

for (const [what, wire] of [
  ["a tag cut short", "8a"],
  ["a length cut short", "0a"],
  ["a length past the end", "0a0261"],
  ["a length of 2^64 - 1", "0affffffffffffffffff01"],
  ["a varint of eleven bytes", "08ffffffffffffffffffff01"],
  ["a fixed field cut short", "09000000"],
  ["field number 0", "020161"],
  ["a group", "0b0c"],
  ["invalid UTF-8", "0a01ff"],
]) {
  test(`protobuf refuses ${what}`, () => {
    assert.throws(() => EchoReply.decode(Buffer.from(wire, "hex")), protobuf.ProtobufError);
  });
}

test("repeated numbers are refused when declared, not misread", () => {
  assert.throws(() => protobuf.repeated(protobuf.uint32), TypeError);
});

// The service

test("the demo client sends and reads its messages", async () => {
  const demo = new DemoClient(new GrpcWebClient(url));
  answer = (request, response) => reply(BINARY, message(request.whole.subarray(5)), OK)(request, response);
  assert.equal((await demo.echo({ text: "hello" })).text, "hello");
  assert.equal(requests[0].url, "/demo.v1.Demo/Echo");
  answer = reply(BINARY, message(CountReply.encode({ number: 1 })), message(CountReply.encode({ number: 2 })), OK);
  const numbers = (await collect(demo.count({ count: 2, intervalMs: 10 }))).map(({ number }) => number);
  assert.deepEqual(numbers, [1, 2]);
  assert.equal(hex(requests[1].whole), "0000000004" + "0802100a");
});

test("a reply that is no protobuf is INTERNAL", async () => {
  answer = reply(BINARY, message(Uint8Array.of(0x0a, 0x09)), OK);
  assert.equal((await failure(new DemoClient(new GrpcWebClient(url)).echo({}))).code, Code.INTERNAL);
});
