#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Bundles the command line, libraries included, into dist/oracle.js: an installed package needs nothing else.
# With --if-stale: only if something the bundle is made of is newer.
# A shell script, because starting node takes as long as the whole build.
set -eu
cd "$(dirname "$0")/.."

if [ "${1-}" = --if-stale ] && [ -e dist/oracle.js ] &&
  [ -z "$(find src package-lock.json scripts/build.sh -newer dist/oracle.js | head -n 1)" ]; then
  exit 0
fi

# Built aside and renamed into place: two oracles in one pipe may both build, and neither may load half a file.
tmp=dist.tmp.$$
trap 'rm -rf "$tmp"' EXIT
# main-fields: the UMD flavour of jsonc-parser, node's default, cannot be bundled.
# banner: CommonJS libraries (commander) call require() for node's own modules; an ES module has to be given one.
node_modules/.bin/esbuild src/cli/main.ts --bundle --outfile="$tmp/oracle.js" --sourcemap --log-level=warning --minify-whitespace --line-limit=160 \
  --platform=node --target=node20 --format=esm --main-fields=module,main \
  --banner:js="#!/usr/bin/env node
import { createRequire as bundleCreateRequire } from 'node:module';
const require = bundleCreateRequire(import.meta.url);"
chmod +x "$tmp/oracle.js"
mkdir -p dist
mv "$tmp/oracle.js.map" "$tmp/oracle.js" dist/
