#!/bin/sh
# Whole processes, from files to a rendered JSON plan: medians of seven runs, and the most memory that one took.
# measure.sh [TENANTS...]; each tenant has two bridges (21 objects).
set -eu
cd "$(dirname "$0")/.."
cargo build --release --locked --quiet --package midoform
exec python3 - "$PWD/target/release/midoform" "${@:-1 250 1000 10000}" <<'PYTHON'
import os, resource, statistics, subprocess, sys, tempfile, time

binary, counts = sys.argv[1], " ".join(sys.argv[2:]).split()
site = 'name = "fleet"\n\n[midonet]\nembedded = true\nmanaged = true\n\n[pools]\nlinks = "172.16.0.0/12"\nbridges = "10.0.0.0/8"\nbridge_prefix = 27\n'

def median_of(command):
    times, memory = [], 0
    for _ in range(7):
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, command
        times.append(time.perf_counter() - start)
        memory = max(memory, usage.ru_maxrss)
    return statistics.median(times), memory

first = None
for count in map(int, counts):
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(f"{folder}/tenants")
        with open(f"{folder}/site.toml", "w") as file:
            file.write(site)
        for number in range(count):
            with open(f"{folder}/tenants/t{number:06}.toml", "w") as file:
                file.write(f'name = "t{number:06}"\nprofile = "rainbond"\n\n[[bridge]]\nname = "web"\n\n[[bridge]]\nname = "db"\n')
        seconds, memory = median_of([binary, "plan", folder, "--format", "json"])
        print(f"plan of {count} tenants ({21 * count + 1} objects): {seconds * 1000:.0f} ms, {memory / 1024:.0f} MB", flush=True)
        if count == 1:
            seconds, memory = median_of([binary, "validate", f"{folder}/tenants/t000000.toml"])
            print(f"validate of one tenant file: {seconds * 1000:.1f} ms, {memory / 1024:.0f} MB", flush=True)
PYTHON
