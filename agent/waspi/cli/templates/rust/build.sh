#!/bin/sh
# Debian and Raspberry Pi OS: apt-get install rustc libstd-rust-dev-wasm32 lld
# rustup: rustup target add wasm32-unknown-unknown
set -eu
"${RUSTC:-rustc}" --edition=2021 --crate-type=cdylib --target=wasm32-unknown-unknown \
  -C opt-level=s -C lto=fat -C panic=abort -C strip=symbols -o @name@.wasm @name@.rs
