/** demo.v1 from its descriptors: what generated code would say. */

import { createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import descriptors from "./dist/demo.binpb";

const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, descriptors));

export const Demo = registry.getService("demo.v1.Demo");
export const OK = { code: 0, message: "", details: [] };

/** @param {string} name @returns {import("@bufbuild/protobuf").DescMethod} */
export function methodOf(name) {
  return Demo.methods.find((method) => method.name === name);
}

/** @param {Uint8Array} value a google.rpc.ErrorInfo */
export function errorInfo(value) {
  const { reason, domain } = fromBinary(registry.getMessage("demo.v1.ErrorInfo"), value);
  return { reason, domain };
}

/** @param {string | undefined} header grpc-status-details-bin */
export function detailsOf(header) {
  if (!header) return [];
  const { details } = fromBinary(registry.getMessage("demo.v1.RichStatus"), base64Decode(header));
  return details.map(({ value }) => errorInfo(value));
}
