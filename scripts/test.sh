#!/bin/sh
# Installs what the tests need, and runs all of them. What can't be run is counted as skipped, with its reason.
set -eu
cd "$(dirname "$0")/.."

missing=
for tool in dash curl jq python3; do
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
