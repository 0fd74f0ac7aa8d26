#!/bin/sh
# Tells whether this machine can build static programs: fails and names what is missing.
set -eu

triple=$(uname -m)-unknown-linux-musl
if ! [ -d "$(rustc --print sysroot)/lib/rustlib/$triple/lib" ]; then
    echo "no static programs: the standard library for $triple is missing (rustup target add $triple)" >&2
    exit 1
fi
if ! command -v musl-gcc > /dev/null 2>&1; then
    echo "no static programs: musl-gcc is missing (Debian: musl-tools)" >&2
    exit 1
fi
