#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Bundles the command line, libraries included, into dist/: an installed package needs nothing else.
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
bundle() {
  node_modules/.bin/esbuild "$@" --bundle --platform=node --target=node20 --format=cjs --minify-whitespace --line-limit=160 \
    --define:import.meta.dirname=__dirname --log-level=warning
}
# main-fields: the UMD flavour of jsonc-parser, node's default, cannot be bundled.
bundle src/cli/main.ts --outfile="$tmp/program.js" --main-fields=module,main --sourcemap
bundle src/cli/start.ts --outfile="$tmp/oracle.js" --banner:js='#!/usr/bin/env node'
echo "// $(cksum <"$tmp/program.js" | tr ' ' -)" >>"$tmp/program.js"
echo '{ "type": "commonjs" }' >"$tmp/package.json"
chmod +x "$tmp/oracle.js"
mkdir -p dist
rm -f dist/*.cache*
mv "$tmp"/* dist/
