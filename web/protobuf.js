/**
 * The protobuf wire format, as much of it as a small page needs: int32, uint32, strings, bytes, repeated strings and
 * messages, maps.
 *
 * A message is declared once, as its .proto declares it, and then both written and read:
 *
 *     const EchoRequest = message({ text: [1, string], payload: [2, bytes] });
 *     EchoRequest.decode(EchoRequest.encode({ text: "hello" }));   // { text: "hello", payload: Uint8Array(0) }
 *
 * Rule: a reader never trusts its input. Anything malformed is a ProtobufError; an unknown field, or one of another
 * wire type than declared, is skipped, as every protobuf reader must.
 *
 * Source: https://protobuf.dev/programming-guides/encoding/
 */

export class ProtobufError extends Error {
  name = "ProtobufError";
}

const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
const FIXED32 = 5;
const MAX_VARINT_BYTES = 10;

const utf8 = new TextEncoder();
// A byte order mark is text here, and invalid UTF-8 is an error: a string field must survive the round trip.
const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Reads one varint.
 * @param {Uint8Array} bytes
 * @param {number} at index of its first byte
 * @returns {[bigint, number]} the value, below 2^64, and the index after it
 */
function readVarint(bytes, at) {
  let value = 0n;
  for (let read = 0; read < MAX_VARINT_BYTES; read++) {
    if (at + read >= bytes.length) throw new ProtobufError("a varint is cut short");
    const byte = bytes[at + read];
    value |= BigInt(byte & 0x7f) << BigInt(7 * read);
    if (byte < 0x80) return [BigInt.asUintN(64, value), at + read + 1];
  }
  throw new ProtobufError("a varint is longer than ten bytes");
}

/** @param {bigint} value a negative one in two's complement, 64 bits @returns {Uint8Array} */
function varint(value) {
  const out = [];
  let rest = BigInt.asUintN(64, value);
  for (; rest > 0x7fn; rest >>= 7n) out.push(Number(rest & 0x7fn) | 0x80);
  return Uint8Array.from([...out, Number(rest)]);
}

/** @param {Uint8Array[]} parts @returns {Uint8Array} */
export function concatenate(parts) {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/**
 * The fields of a message, in the order of the wire, whatever its declaration.
 * @param {Uint8Array} bytes one whole message
 * @returns {Generator<{number: number, wire: number, value: bigint | Uint8Array}>} a varint as bigint, anything else as
 *   its bytes (views into `bytes`)
 * @throws {ProtobufError}
 */
export function* fields(bytes) {
  for (let at = 0; at < bytes.length; ) {
    let tag, size;
    [tag, at] = readVarint(bytes, at);
    const number = Number(tag >> 3n);
    const wire = Number(tag & 7n);
    if (number === 0 || tag > 0xffffffffn) throw new ProtobufError("a field number is out of range");
    if (wire === VARINT) {
      let value;
      [value, at] = readVarint(bytes, at);
      yield { number, wire, value };
      continue;
    }
    if (wire === LENGTH) [size, at] = readVarint(bytes, at);
    else if (wire === FIXED64) size = 8n;
    else if (wire === FIXED32) size = 4n;
    else throw new ProtobufError(`wire type ${wire} is not supported`);
    if (size > BigInt(bytes.length - at)) throw new ProtobufError("a field is longer than its message");
    yield { number, wire, value: bytes.subarray(at, at + Number(size)) };
    at += Number(size);
  }
}

/**
 * How one kind of field is written and read. `encode` returns what `fields` yields for it: bigint or bytes.
 * @template T
 * @typedef {{wire: number, empty: () => T, encode: (value: T) => bigint | Uint8Array,
 *   decode: (value: any, before: T) => T, many?: (value: T) => Iterable<bigint | Uint8Array>}} Type
 */

/** @type {Type<string>} */
export const string = {
  wire: LENGTH,
  empty: () => "",
  encode: (value) => utf8.encode(value),
  decode: (value) => {
    try {
      return strictUtf8.decode(value);
    } catch {
      throw new ProtobufError("a string is not UTF-8");
    }
  },
};

/** @type {Type<Uint8Array>} */
export const bytes = {
  wire: LENGTH,
  empty: () => new Uint8Array(),
  encode: (value) => value,
  decode: (value) => value,
};

/** @type {Type<number>} */
export const uint32 = {
  wire: VARINT,
  empty: () => 0,
  encode: (value) => BigInt.asUintN(32, BigInt(value)),
  decode: (value) => Number(BigInt.asUintN(32, value)),
};

/** @type {Type<number>} */
export const int32 = {
  wire: VARINT,
  empty: () => 0,
  encode: (value) => BigInt.asIntN(32, BigInt(value)), // a negative one takes ten bytes: sign-extended to 64 bits
  decode: (value) => Number(BigInt.asIntN(32, value)),
};

/**
 * @param {Type<any>} type a string, bytes or a message (repeated numbers travel packed, which is not spoken here)
 * @returns {Type<any[]>}
 */
export function repeated(type) {
  if (type.wire !== LENGTH) throw new TypeError("repeated numbers are not supported");
  return {
    wire: LENGTH,
    empty: () => [],
    many: (values) => values.map(type.encode),
    decode: (value, before) => {
      before.push(type.decode(value));
      return before;
    },
  };
}

/**
 * @param {Type<any>} keyType
 * @param {Type<any>} valueType
 * @returns {Type<Map<any, any>>}
 */
export function map(keyType, valueType) {
  const entry = message({ key: [1, keyType], value: [2, valueType] });
  return {
    wire: LENGTH,
    empty: () => new Map(),
    many: (values) => [...values].map(([key, value]) => entry.encode({ key, value })),
    decode: (bytes, before) => {
      const { key, value } = entry.decode(bytes);
      return before.set(key, value);
    },
  };
}

/**
 * A message type from its fields.
 * @param {Record<string, [number, Type<any>]>} declared name -> [field number, type]
 * @returns {Type<any> & {encode: (value?: object) => Uint8Array, decode: (bytes: Uint8Array) => any}} `encode` leaves
 *   out what is missing or empty, as proto3 does; `decode` fills in what is missing
 */
export function message(declared) {
  const byNumber = new Map(Object.entries(declared).map(([name, [number, type]]) => [number, { name, type }]));

  function encode(values = {}) {
    const parts = [];
    for (const [name, [number, type]] of Object.entries(declared)) {
      const value = values[name] ?? type.empty();
      for (const part of type.many?.(value) ?? onlySet(type.encode(value))) {
        parts.push(varint(BigInt((number << 3) | type.wire)));
        if (type.wire === VARINT) parts.push(varint(part));
        else parts.push(varint(BigInt(part.length)), part);
      }
    }
    return concatenate(parts);
  }

  function decode(bytes) {
    const values = Object.fromEntries(Object.entries(declared).map(([name, [, type]]) => [name, type.empty()]));
    for (const { number, wire, value } of fields(bytes)) {
      const field = byNumber.get(number);
      if (field?.type.wire === wire) values[field.name] = field.type.decode(value, values[field.name]);
    }
    return values;
  }

  return { wire: LENGTH, empty: () => ({}), encode, decode };
}

/** A zero, an empty string and an empty message are not written. */
function onlySet(part) {
  return part === 0n || part.length === 0 ? [] : [part];
}
