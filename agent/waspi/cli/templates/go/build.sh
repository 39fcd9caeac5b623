#!/bin/sh
# Go 1.24 or newer
set -eu
GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -ldflags='-s -w' -o @name@.wasm .
