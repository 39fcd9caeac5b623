#!/bin/sh
# Node.js and npm: apt-get install nodejs npm
set -eu
[ -d node_modules ] || npm install --no-audit --no-fund
node node_modules/assemblyscript/bin/asc.js @name@.ts --runtime incremental --optimizeLevel 2 --shrinkLevel 2 \
  --outFile @name@.wasm
