#!/bin/sh
# Builds from the sources as an archive has them, unpacked outside of any checkout: static programs, which run in a root that has
# nothing else, a container image of them, which runs as well, and `cargo install --path cli`. Prints SKIPPED: and the reason for
# what can't run. The target folder is that of the checkout, so only the workspace's own crates are built each time.
set -eu
cd "$(dirname "$0")/.."
checkout=$PWD
cargo_target=${CARGO_TARGET_DIR:-$checkout/target}
triple=$(uname -m)-unknown-linux-musl

exec 3>&1
skip() {
    echo "SKIPPED: sources: $1"
}
fail() {
    echo "FAILED: sources: $1" >&2
    exit 1
}
expect() {
    what=$1
    shift
    "$@" || fail "$what"
    echo "ok: $what" >&3
}
has_line() {
    grep -q "$1" "$2" || {
        cat "$2" >&2
        return 1
    }
}

work=$(mktemp -d)
end() {
    [ -z "${image:-}" ] || podman_here rmi --force "$image" > /dev/null 2>&1 || true
    rm -rf --one-file-system "$work"
}
trap end EXIT

# Cargo knows a crate by its folder: this one is the same in each run of this checkout, so no old builds pile up in the target
# folder. The time of each file is that of the unpacking, since an archive's tells nothing about what was built before.
tree=${TMPDIR:-/tmp}/midoform-source-$(echo "$checkout" | cksum | cut -d ' ' -f 1)
unpack() {
    rm -rf "$tree"
    mkdir -m 700 "$tree"
    if git rev-parse --show-toplevel > /dev/null 2>&1; then
        # What is changed and not committed yet belongs to it; a file that Git does not know is forgotten.
        changed=$(git -c user.name=tests -c user.email=tests@localhost stash create)
        git archive "${changed:-HEAD}" > "$work/source.tar"
    else
        tar --exclude ./target -cf "$work/source.tar" .
    fi
    tar -C "$tree" -xmf "$work/source.tar"
}

# The shim has to answer for protoc: a real one is not to be found.
cargo_here() {
    printf '#!/bin/sh\necho "no real protoc" >&2\nexit 1\n' > "$work/protoc"
    chmod 755 "$work/protoc"
    (cd "$tree" && env PATH="$work:$PATH" CARGO_TARGET_DIR="$cargo_target" CARGO_NET_OFFLINE=true "$@")
}

static_programs() {
    # Cargo keeps what etcd-client's build made: without it, the shim is asked.
    cargo_here cargo clean --quiet --target "$triple" -p etcd-client
    cargo_here sh scripts/package.sh --profile dev --only static > "$work/log" 2>&1 || {
        tail -n 30 "$work/log" >&2
        fail "the static programs are not built"
    }
    programs=$cargo_target/packages/static
    for program in midoform midonet-cni; do
        readelf -lW "$programs/$program" > "$work/headers"
        readelf -dW "$programs/$program" > "$work/dynamic"
        ! grep -q INTERP "$work/headers" || fail "$program needs a loader"
        ! grep -q NEEDED "$work/dynamic" || fail "$program needs libraries"
    done
    echo "ok: an archive of the sources builds static programs, and they need no loader and no library"
    empty_root
}

# A root with the programs and the example, and nothing else.
empty_root() {
    if [ "$(id -u)" != 0 ]; then
        skip "an empty root needs root"
        return 0
    fi
    root=$work/root
    mkdir "$root"
    cp -R examples/seed "$programs/midoform" "$programs/midonet-cni" "$root/"
    inside() {
        env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
    }
    expect "midoform plans in an empty root" inside chroot "$root" /midoform plan /seed > "$work/plan"
    expect "it plans what the other build plans" same_plan
    expect "it applies" inside chroot "$root" /midoform apply /seed --yes > "$work/apply" 2>&1
    expect "it shows what it made" inside chroot "$root" /midoform show /seed > "$work/shown" 2>&1
    expect "midonet-cni answers VERSION" inside CNI_COMMAND=VERSION chroot "$root" /midonet-cni > "$work/version" < /dev/null
    expect "with the versions that it supports" has_line '"supportedVersions"' "$work/version"
    tls
}
same_plan() {
    [ -x "$cargo_target/debug/midoform" ] || return 0
    cp -R examples/seed "$work/seed"
    env -i "$cargo_target/debug/midoform" plan "$work/seed" > "$work/other-plan"
    cmp "$work/plan" "$work/other-plan"
}

# A server whose certificate is signed by an authority that the site file names. It is no MidoNet API (exit code 7), which midoform
# finds out only over TLS; with another authority it refuses the certificate (4).
tls() {
    if ! command -v openssl > /dev/null 2>&1; then
        skip "TLS of the static programs: openssl is not installed"
        return 0
    fi
    # Not openssl's own configuration: its certificates are those of authorities, which no server may use.
    printf '[req]\ndistinguished_name = name\n[name]\n' > "$work/openssl.conf"
    for name in ca other-ca; do
        openssl req -config "$work/openssl.conf" -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
            -subj /CN=midoform-tests -addext basicConstraints=CA:FALSE -addext subjectAltName=IP:127.0.0.1 \
            -keyout "$work/$name.key" -out "$root/$name.pem" 2> /dev/null
    done
    port=$((10000 + $$ % 20000))
    openssl s_server -accept "127.0.0.1:$port" -cert "$root/ca.pem" -key "$work/ca.key" -www -quiet > "$work/server" 2>&1 &
    server=$!
    mkdir "$root/trusted" "$root/other"
    site='name = "lab"\n[midonet]\nurl = "https://127.0.0.1:%s/midonet-api"\nmanaged = true\n'
    # shellcheck disable=SC2059
    printf "$site" "$port" > "$root/other/site.toml"
    { cat "$root/other/site.toml" && echo 'ca = "/ca.pem"'; } > "$root/trusted/site.toml"
    echo 'ca = "/other-ca.pem"' >> "$root/other/site.toml"
    printf 'name = "acme"\n[[bridge]]\nname = "web"\n' | tee "$root/other/acme.toml" > "$root/trusted/acme.toml"
    for _ in $(seq 50); do
        if openssl s_client -connect "127.0.0.1:$port" < /dev/null > /dev/null 2>&1; then break; fi
        sleep 0.1
    done
    trusted=0 other=0
    inside chroot "$root" /midoform plan /trusted > "$work/trusted" 2>&1 || trusted=$?
    inside chroot "$root" /midoform plan /other > "$work/other" 2>&1 || other=$?
    kill "$server"
    [ "$trusted" = 7 ] || { cat "$work/trusted" >&2 && fail "the static midoform can't use TLS"; }
    [ "$other" = 4 ] || { cat "$work/other" >&2 && fail "the static midoform accepts any certificate"; }
    echo "ok: it uses TLS, with the authority that the site file names and no other"
}

# Its storage is a folder of this run: the images of the machine stay as they are.
podman_here() {
    podman --root "$work/images" --runroot "$work/run" --tmpdir "$work/tmp" --storage-driver vfs --cgroup-manager cgroupfs \
        --events-backend none "$@"
}
run_image() {
    podman_here run --rm --network none --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 "$@"
}

container_image() {
    if [ "$(id -u)" != 0 ]; then
        skip "the container image needs root"
        return 0
    elif ! command -v podman > /dev/null 2>&1; then
        skip "the container image needs podman"
        return 0
    elif [ ! -d "$cargo_target/packages/image" ]; then
        skip "the container image needs a static busybox (Debian: busybox-static)"
        return 0
    fi
    name=localhost/midoform-tests:$$
    podman_here build --isolation chroot --tag "$name" "$cargo_target/packages/image" > "$work/log" 2>&1 || {
        cat "$work/log" >&2
        fail "the image is not built"
    }
    image=$name
    expect "the image runs midoform" run_image --volume "$checkout/examples/seed:/spec:ro" "$image" plan /spec > "$work/in-image"
    expect "it plans the same in the image" cmp "$work/plan" "$work/in-image"
    installer
}

# The installer, with the rights that the DaemonSet gives it, and folders that stand for the node's.
installer() {
    for folder in opt net.d midoform config; do mkdir "$work/$folder"; done
    echo 'name = "cluster"' > "$work/config/site.toml"
    echo '{"name": "midonet"}' > "$work/config/10-midonet.conflist"
    install_plugin() {
        run_image --user 0:0 --read-only --cap-drop ALL --security-opt no-new-privileges --tmpfs /tmp \
            --volume "$work/config:/config:ro" --volume "$work/opt:/host/opt/cni/bin" \
            --volume "$work/net.d:/host/etc/cni/net.d" --volume "$work/midoform:/host/etc/midoform" \
            --entrypoint /usr/local/bin/install-plugin "$image" "$@"
    }
    expect "the image's installer installs" install_plugin install 2> "$work/installer"
    expect "the plugin is in its place" cmp "$programs/midonet-cni" "$work/opt/midonet-cni"
    expect "the configuration is in its place" cmp "$work/config/10-midonet.conflist" "$work/net.d/10-midonet.conflist"
    expect "the site file is in its place" cmp "$work/config/site.toml" "$work/midoform/site.toml"
    expect "the installed plugin runs" env -i CNI_COMMAND=VERSION "$work/opt/midonet-cni" > "$work/version" < /dev/null
    expect "the image's installer takes all away" install_plugin remove 2> "$work/installer"
    [ -z "$(ls "$work/opt" "$work/net.d" "$work/midoform" | grep -v ':$')" ] || fail "something is left"
}

installation() {
    set --
    ! sh scripts/static-target.sh 2> /dev/null || set -- --target "$triple"
    # From another folder, as a user's shell may be in.
    cargo_here env "CC_$(uname -m)_unknown_linux_musl=musl-gcc" sh -c \
        'cd / && exec cargo install --locked --debug --no-track "$@"' sh --path "$tree/cli" --root "$work/installed" "$@" \
        > "$work/log" 2>&1 || {
        tail -n 30 "$work/log" >&2
        fail "cargo install --path cli"
    }
    expect "cargo install --path cli installs midoform" [ -x "$work/installed/bin/midoform" ]
    cp -R "$tree/examples/seed" "$work/spec"
    expect "which plans the example" "$work/installed/bin/midoform" plan "$work/spec" > "$work/installed-plan"
}

unpack
if why=$(sh scripts/static-target.sh 2>&1); then
    static_programs
    container_image
else
    skip "$why"
fi
installation
rm -rf "$tree"
echo "sources: all steps passed"
