/** node build.js: dist/calls.js, the clients in one module for browsers and Node, with the descriptors of protos/. */

import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));

mkdirSync(path("dist"), { recursive: true });
const buf = path("node_modules/@bufbuild/buf/bin/buf");
const protos = [path("../../../protos"), "--exclude-source-info", "-o", path("dist/demo.binpb")];
execFileSync(process.execPath, [buf, "build", ...protos]);
await build({
  entryPoints: [path("calls.js")],
  outfile: path("dist/calls.js"),
  bundle: true,
  format: "esm",
  platform: "browser",
  target: "es2022",
  loader: { ".binpb": "binary" },
  logLevel: "warning",
});
