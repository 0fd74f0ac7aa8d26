#!/bin/sh
# Makes what is installed, in target/packages: Debian packages of midoform and midonet-cni, an archive of static programs, and
# the context of the container image. --only debian and --only static make a part of it. --profile dev makes them of debugging
# builds: the tests do so.
set -eu
cd "$(dirname "$0")/.."

profile=release
version=
parts="debian static"
while [ $# -gt 0 ]; do
    case $1 in
        --profile) profile=$2 ;;
        # Another version than the programs have: the tests upgrade from it.
        --deb-version) version=$2 ;;
        --only) parts=$2 ;;
        *)
            echo "usage: $0 [--profile release|dev] [--deb-version VERSION] [--only debian|static]" >&2
            exit 64
            ;;
    esac
    shift 2
done
target=${CARGO_TARGET_DIR:-target}
folder=$profile
[ "$profile" != dev ] || folder=debug
out=$target/packages
mkdir -p "$out"

# The programs of the dev profile are taken as they are.
debian() {
    cargo_deb=$(command -v cargo-deb || true)
    [ -n "$cargo_deb" ] || cargo_deb=$PWD/target/cargo-deb/bin/cargo-deb
    if [ ! -x "$cargo_deb" ]; then
        echo "cargo-deb is missing: sh scripts/install-test-tools.sh installs it" >&2
        exit 1
    fi
    [ "$profile" = dev ] || cargo build --locked --profile "$profile" -p midoform -p midonet-cni
    rm -rf target/manual
    "$target/$folder/midoform" --quiet manual target/manual
    for package in midoform midonet-cni; do
        set -- --no-build --profile "$profile" --package "$package" --output "$out/" --quiet
        [ -z "$version" ] || set -- "$@" --deb-version "$version"
        [ "$profile" = release ] || set -- "$@" --fast --strip
        "$cargo_deb" "$@"
    done
}

# Programs that need nothing of the system they run on: musl instead of glibc.
static() {
    machine=$(uname -m)
    triple=$machine-unknown-linux-musl
    if ! sh scripts/static-target.sh; then
        exit 1
    fi
    env "CC_${machine}_unknown_linux_musl=musl-gcc" \
        cargo build --locked --profile "$profile" --target "$triple" -p midoform -p midonet-cni
    programs=$out/static
    rm -rf "$programs"
    mkdir -p "$programs"
    for program in midoform midonet-cni; do
        strip -o "$programs/$program" "$target/$triple/$folder/$program"
    done
    version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
    tar -C "$programs" --owner 0 --group 0 --numeric-owner -czf "$out/midoform-$version-$triple.tar.gz" midoform midonet-cni
    image "$programs"
}

# The image has no distribution below it: it is busybox's shell, which the installer needs, the certificates of public
# authorities, and the programs. No program runs while it is built, and no registry is asked.
image() {
    busybox=$(command -v busybox || true)
    if [ -z "$busybox" ] || readelf -l "$busybox" | grep -q INTERP; then
        echo "no image: a static busybox is missing (Debian: busybox-static)" >&2
        return 0
    fi
    image=$out/image
    rm -rf "$image"
    mkdir -p "$image/root/bin" "$image/root/usr/local/bin" "$image/root/etc/ssl/certs"
    mkdir -m 1777 "$image/root/tmp"
    cp "$1/midoform" "$1/midonet-cni" packaging/kubernetes/install-plugin "$image/root/usr/local/bin/"
    chmod 755 "$image/root/usr/local/bin/"*
    cp "$busybox" "$image/root/bin/busybox"
    for name in sh cat chmod cmp ls mkdir mv rm sleep stat sync test touch; do
        ln -s busybox "$image/root/bin/$name"
    done
    [ ! -r /etc/ssl/certs/ca-certificates.crt ] || cp /etc/ssl/certs/ca-certificates.crt "$image/root/etc/ssl/certs/"
    cp packaging/container/Containerfile "$image/"
}

for part in $parts; do
    "$part"
done
[ "$profile" != release ] || ls -l "$out"
