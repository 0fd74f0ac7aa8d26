#!/bin/sh
# Makes what is installed, in target/packages: Debian packages of midoform and midonet-cni, an archive of static programs, and
# the context of the container image. --profile dev takes the programs of a debugging build as they are: the tests do so.
set -eu
cd "$(dirname "$0")/.."

profile=release
version=
while [ $# -gt 0 ]; do
    case $1 in
        --profile) profile=$2 ;;
        # Another version than the programs have: the tests upgrade from it.
        --deb-version) version=$2 ;;
        *)
            echo "usage: $0 [--profile release|dev] [--deb-version VERSION]" >&2
            exit 64
            ;;
    esac
    shift 2
done
folder=target/$profile
[ "$profile" != dev ] || folder=target/debug
out=target/packages

cargo_deb=$(command -v cargo-deb || true)
[ -n "$cargo_deb" ] || cargo_deb=$PWD/target/cargo-deb/bin/cargo-deb
if [ ! -x "$cargo_deb" ]; then
    echo "cargo-deb is missing: sh scripts/install-test-tools.sh installs it" >&2
    exit 1
fi

[ "$profile" = dev ] || cargo build --locked --profile "$profile" -p midoform -p midonet-cni
rm -rf target/manual
"$folder/midoform" --quiet manual target/manual
mkdir -p "$out"
for package in midoform midonet-cni; do
    set -- --no-build --profile "$profile" --package "$package" --output "$out/" --quiet
    [ -z "$version" ] || set -- "$@" --deb-version "$version"
    [ "$profile" = release ] || set -- "$@" --fast --strip
    "$cargo_deb" "$@"
done
[ "$profile" = release ] || exit 0

# Programs that need nothing of the system they run on: musl instead of glibc.
target=$(uname -m)-unknown-linux-musl
if ! rustup target list --installed 2> /dev/null | grep -qx "$target" || ! command -v musl-gcc > /dev/null; then
    echo "no static programs: rustup target add $target, and musl-gcc (Debian: musl-tools) are needed" >&2
    exit 1
fi
CC_x86_64_unknown_linux_musl=musl-gcc CC_aarch64_unknown_linux_musl=musl-gcc cargo build --locked --release --target "$target" -p midoform -p midonet-cni
image=$out/image
rm -rf "$image"
mkdir -p "$image"
cp "target/$target/release/midoform" "target/$target/release/midonet-cni" packaging/kubernetes/install-plugin \
    packaging/container/Containerfile "$image/"
version=$("$folder/midoform" --version)
tar -C "$image" --owner 0 --group 0 --numeric-owner -czf "$out/midoform-${version#* }-$target.tar.gz" midoform midonet-cni
ls -l "$out"
