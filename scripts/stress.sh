#!/bin/sh
# The stress test at full size: so many processes claim and release so many addresses in total on a real etcd of three
# members, among faults. It needs etcd (etcd-server), and takes some ten minutes on two cores.
set -eu
cd "$(dirname "$0")/.."
MIDOFORM_STRESS="${1:-64x100000}" exec cargo test --release --locked -p midoform-store --test main -- \
    --exact stress::processes_and_members_come_and_go --nocapture
