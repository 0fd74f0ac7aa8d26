#!/bin/sh
# Measures midoform on a real OVN beside OVN's own tools and beside a bare socket, in turns: compare-ovn-apply.sh [PART...]
# Parts: one, many, nothing, plan, settle; all of them without an argument. Environment: MIDOFORM (a binary), ROUNDS, FOLDER (for the
# databases and the projects; /dev/shm has no disk to wait for).
#
# Needs ovsdb-server and ovsdb-tool (Debian: openvswitch-common) and OVN's schema (ovn-common); `settle` needs ovn-northd,
# ovn-controller and ovs-vswitchd as well. Every process is started here, on Unix domain sockets. Every figure is a median; a ratio is
# the median of the ratios of each round.
set -eu
cd "$(dirname "$0")/.."
for program in ovsdb-server ovsdb-tool ovn-nbctl python3; do
    if ! command -v "$program" > /dev/null 2>&1; then
        echo "SKIPPED: $program is not installed"
        exit 0
    fi
done
if [ -z "${MIDOFORM:-}" ]; then
    cargo build --release --locked --quiet --package midoform
    MIDOFORM="$PWD/target/release/midoform"
fi
export MIDOFORM
exec python3 scripts/compare-ovn-apply.py "$@"
