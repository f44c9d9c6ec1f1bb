/** node build.js: dist/calls.js, the clients in one module for browsers and Node, with the descriptors of protos/. */

import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

process.chdir(dirname(fileURLToPath(import.meta.url)));
mkdirSync("dist", { recursive: true });
const buf = join("node_modules", "@bufbuild", "buf", "bin", "buf");
execFileSync(process.execPath, [buf, "build", join("..", "..", "..", "protos"), "-o", join("dist", "demo.binpb")]);
await build({
  entryPoints: ["calls.js"],
  outfile: join("dist", "calls.js"),
  bundle: true,
  format: "esm",
  platform: "browser",
  loader: { ".binpb": "binary" },
  logLevel: "warning",
});
