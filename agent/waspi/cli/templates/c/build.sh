#!/bin/sh
# Debian and Raspberry Pi OS: apt-get install clang lld
set -eu
clang --target=wasm32 -O2 -Wall -Wextra -ffreestanding -nostdlib -c -o @name@.o @name@.c
wasm-ld --no-entry --strip-all --stack-first -z stack-size=65536 -o @name@.wasm @name@.o
rm @name@.o
