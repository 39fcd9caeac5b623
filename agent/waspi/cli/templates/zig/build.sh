#!/bin/sh
# Zig 0.16: pip install ziglang==0.16.0, then ZIG="python -m ziglang" sh build.sh
set -eu
${ZIG:-zig} build-exe @name@.zig -target wasm32-freestanding -fno-entry -rdynamic -O ReleaseSmall -fstrip \
  --stack 65536 -femit-bin=@name@.wasm
rm -f @name@.wasm.o
