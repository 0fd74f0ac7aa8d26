#!/bin/sh
# Installs what the tests need, and runs all of them. What can't be run is counted as skipped, with its reason.
set -eu
cd "$(dirname "$0")/.."

missing=
for tool in dash curl jq openssl python3 chromium; do
    command -v "$tool" > /dev/null 2>&1 || missing="$missing $tool"
done
if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null 2>&1; then
        echo "installing:$missing"
        apt-get update -q > /dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing > /dev/null ||
            echo "not installed:$missing; tests that need them are skipped"
    else
        echo "missing:$missing; as root this script would install them; tests that need them are skipped"
    fi
fi

# What the tests of the CNI plugin run: other plugins, runtimes, a killer. They need root, as the tests do.
missing=
for pair in strace:strace ip:iproute2 ping:iputils-ping iptables:iptables etcd:etcd-server etcdctl:etcd-client containerd:containerd runc:runc \
    podman:podman busybox:busybox-static; do
    command -v "${pair%%:*}" > /dev/null 2>&1 || missing="$missing ${pair#*:}"
done
[ -x /usr/lib/cni/ptp ] || missing="$missing containernetworking-plugins"
if [ -n "$missing" ] && [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null 2>&1; then
    echo "installing:$missing"
    apt-get update -q > /dev/null || true
    for package in $missing; do
        DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$package" > /dev/null ||
            echo "not installed: $package; tests that need it are skipped"
    done
fi
if [ "$(id -u)" = 0 ] && [ ! -x target/cni-tools/cnitool ] && command -v go > /dev/null 2>&1; then
    echo "installing: cnitool"
    GOBIN="$PWD/target/cni-tools" go install github.com/containernetworking/cni/cnitool@v1.2.3 > /dev/null 2>&1 ||
        echo "not installed: cnitool; tests that need it are skipped"
fi
if [ "$(id -u)" = 0 ] && ! target/cri/bin/python -c 'import grpc' > /dev/null 2>&1; then
    echo "installing: grpcio"
    { python3 -m venv target/cri && target/cri/bin/pip install -q grpcio==1.85.1; } > /dev/null 2>&1 ||
        { rm -rf target/cri; echo "not installed: grpcio; tests that need it are skipped"; }
fi

# Keystone from PyPI, each release in a virtual environment: 30 for Identity v3, and 12, the last with v2.0, which needs
# Python 3.6.
install_keystone() {
    release=$1
    python=$2
    folder=target/keystone/$release
    [ -x "$folder/bin/keystone-manage" ] && return 0
    if [ -z "$python" ]; then
        echo "not installed: Keystone $release, there is no Python for it; tests that need it are skipped"
        return 0
    fi
    echo "installing: Keystone $release"
    rm -rf "$folder"
    mkdir -p target/keystone
    if "$python" -m venv "$folder" && "$folder/bin/pip" install -q -U 'pip<24' wheel 'setuptools<58' > "$folder.log" 2>&1 &&
        "$folder/bin/pip" install -q -r "simulator/tests/keystone/requirements-$release.txt" >> "$folder.log" 2>&1; then
        rm -f "$folder.log"
    else
        rm -rf "$folder"
        echo "not installed: Keystone $release ($folder.log says why); tests that need it are skipped"
    fi
}
first() {
    for candidate in "$@"; do
        if "$candidate" -c 'import venv, ensurepip' > /dev/null 2>&1; then
            command -v "$candidate"
            return 0
        fi
    done
}
install_keystone 30 "$(first python3.12 python3.11 python3.10 python3)"
install_keystone 12 "$(first python3.6 "$HOME"/.pyenv/versions/3.6.*/bin/python)"

results=$(mktemp)
trap 'rm -f "$results"' EXIT
run() {
    echo "== $*"
    if "$@" > "$results.now" 2>&1; then status=0; else status=$?; fi
    cat "$results.now" >> "$results"
    cat "$results.now"
    rm -f "$results.now"
    return "$status"
}

failed=0
run cargo fmt --all --check || failed=1
run cargo clippy --workspace --all-targets --locked -- -D warnings || failed=1
run cargo test --workspace --locked --no-fail-fast -- --nocapture --test-threads=2 || failed=1

passed=$(sed -n 's/^test result: .* \([0-9][0-9]*\) passed; .*/\1/p' "$results" | awk '{ sum += $1 } END { print sum + 0 }')
broken=$(sed -n 's/^test result: .* \([0-9][0-9]*\) failed; .*/\1/p' "$results" | awk '{ sum += $1 } END { print sum + 0 }')
skipped=$(grep -c '^SKIPPED: ' "$results" || true)
grep '^SKIPPED: ' "$results" || true
echo "$((passed - skipped)) passed, $broken failed, $skipped skipped"
exit "$failed"
