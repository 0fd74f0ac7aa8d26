#!/bin/sh
# Checks the code and runs all tests; installs what they need. What can't run is counted as skipped, with its reason.
set -eu
cd "$(dirname "$0")/.."
mkdir -p target

# A first build gains nothing from what makes the second one quick.
[ -d target/debug ] || export CARGO_INCREMENTAL=0

results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT

# Mostly waits for the network, so it runs while the tests are built.
sh scripts/install-test-tools.sh > "$results/tools" 2>&1 &
tools=$!

# Runs a command and shows its output at once. Remembers its result and how long it took.
failed=0
stage() {
    name=$1
    shift
    echo "== $name: $*"
    start=$(date +%s)
    { "$@" 2>&1 || touch "$results/failed $name"; } | tee -a "$results/output"
    result=ok
    if [ -e "$results/failed $name" ]; then
        result=FAILED
        failed=1
    fi
    end_stage "$name" "$result"
}
end_stage() {
    printf '%6d s  %s: %s\n' "$(($(date +%s) - start))" "$1" "$2" | tee -a "$results/stages"
}

skip() {
    echo "SKIPPED: $1" | tee -a "$results/output"
    skipped_stages=$((skipped_stages + 1))
}
skipped_stages=0

# Licences, sources and bans of all crates, then what the pure crates depend on: those with a clippy.toml of their own.
check_dependencies() {
    "$cargo_deny" --locked check --hide-inclusion-graph licenses sources bans || return 1
    for config in */clippy.toml; do
        "$cargo_deny" --locked --manifest-path "${config%/*}/Cargo.toml" --config scripts/pure-crates-deny.toml \
            --exclude-dev check --hide-inclusion-graph bans || return 1
    done
}

check_documentation() {
    RUSTDOCFLAGS=-Dwarnings nice -n 19 cargo doc --workspace --no-deps --locked
}

stage formatting cargo fmt --all --check
stage "building the tests" cargo test --workspace --locked --no-run

# Not in a stage: only the shell that started it can wait for it.
echo "== tools: scripts/install-test-tools.sh"
start=$(date +%s)
wait "$tools" || true
cat "$results/tools"
end_stage "waiting for the tools" ok

cargo_deny=$(command -v cargo-deny || true)
[ -n "$cargo_deny" ] || [ ! -x target/cargo-deny/bin/cargo-deny ] || cargo_deny=$PWD/target/cargo-deny/bin/cargo-deny
if [ -z "$cargo_deny" ]; then
    skip "licences, sources and bans of dependencies: cargo-deny is not installed"
else
    stage dependencies check_dependencies
    if [ -n "$(find "${CARGO_HOME:-$HOME/.cargo}/advisory-dbs" -name .git 2> /dev/null)" ]; then
        stage advisories "$cargo_deny" --locked --offline check --hide-inclusion-graph advisories
    else
        skip "advisories: their database is not here (cargo deny fetch db)"
    fi
fi

# Clippy, rustdoc and the build from an archive of the sources get only the processor time that the tests leave. Their output follows
# that of the tests. They begin when the tests do, since cargo builds for one command at a time.
{
    for _ in $(seq 60); do
        grep -q '^ *Running ' "$results/output" && break
        sleep 1
    done
    stage clippy nice -n 19 cargo clippy --workspace --all-targets --locked -- -D warnings
    stage documentation check_documentation
    stage sources nice -n 19 sh scripts/test-source.sh
    echo "$failed" > "$results/lints-failed"
} > "$results/lints" 2>&1 &
lints=$!

# Many tests wait for processes and servers, so there are more of them at a time than processors.
stage tests cargo test --workspace --locked --no-fail-fast -- --nocapture --test-threads="${TEST_THREADS:-$(($(nproc) * 2))}"

# Needs the programs that the tests have built.
stage packages sh scripts/test-packages.sh

echo "== lints: clippy, rustdoc, and the build from an archive of the sources"
start=$(date +%s)
wait "$lints" || true
cat "$results/lints"
[ "$(cat "$results/lints-failed")" = 0 ] || failed=1
end_stage "waiting for the lints" ok

sum() {
    sed -n "s/^test result: .* \([0-9][0-9]*\) $1; .*/\1/p" "$results/output" | awk '{ sum += $1 } END { print sum + 0 }'
}
skipped=$(grep -c '^SKIPPED: ' "$results/output" || true)
skipped_steps=$(grep -c '^SKIPPED: \(packages\|sources\): ' "$results/output" || true)
passed=$(($(sum passed) - skipped + skipped_stages + skipped_steps))
echo "== stages"
cat "$results/stages"
grep '^SKIPPED: ' "$results/output" || true
echo "$passed passed, $(sum failed) failed, $skipped skipped"
exit "$failed"
