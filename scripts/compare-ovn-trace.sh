#!/bin/sh
# Follows a packet of the same shape with ovn-trace and with midoform: compare-ovn-trace.sh [TENANTS...]
# A tenant is a router with two switches, source translation, a default route, and two rules between the switches.
# Needs OVN (Debian: ovn-common, ovn-central; nothing has to run); OVN_ROOT where it is unpacked elsewhere than in /.
set -eu
cd "$(dirname "$0")/.."
root="${OVN_ROOT:-}"
for program in ovsdb-server ovsdb-tool ovn-nbctl ovn-trace; do
    if ! command -v "$program" > /dev/null 2>&1; then
        echo "SKIPPED: $program is not installed"
        exit 0
    fi
done
if ! [ -x "$root/usr/bin/ovn-northd" ]; then
    echo "SKIPPED: ovn-northd is not installed"
    exit 0
fi
if [ -z "${MIDOFORM:-}" ]; then
    cargo build --release --locked --quiet --package midoform
    MIDOFORM="$PWD/target/release/midoform"
fi
exec python3 - "$MIDOFORM" "$root" "${@:-100 1000}" <<'PYTHON'
import os, statistics, subprocess, sys, tempfile, time

midoform, root, counts = sys.argv[1], sys.argv[2], " ".join(sys.argv[3:]).split()
site = 'name = "fleet"\n\n[midonet]\nembedded = true\nmanaged = true\n\n[pools]\nlinks = "172.16.0.0/12"\n'

def networks(number):
    return [f"10.{number // 120}.{2 * (number % 120) + side}" for side in (0, 1)]

def ovn_tenant(number):
    web, db = networks(number)
    router, link = f"r{number}", f"172.{16 + number // 16000}.{number // 64 % 250}.{4 * (number % 64) + 2}"
    yield ["lr-add", router]
    yield ["set", "logical_router", router, "options:chassis=c1"]
    for side, net in (("web", web), ("db", db)):
        switch, mac = f"{side}{number}", f"02:{'01' if side == 'web' else '02'}:00:00:{number // 256:02x}:{number % 256:02x}"
        yield ["ls-add", switch]
        yield ["lrp-add", router, f"{switch}-r", mac, f"{net}.254/24"]
        yield ["lsp-add", switch, f"{switch}-up"]
        yield ["lsp-set-type", f"{switch}-up", "router"]
        yield ["lsp-set-addresses", f"{switch}-up", "router"]
        yield ["lsp-set-options", f"{switch}-up", f"router-port={switch}-r"]
        yield ["lsp-add", switch, f"{switch}-pod"]
        yield ["lsp-set-addresses", f"{switch}-pod", f"02:03{mac[5:]} {net}.1"]
    yield ["lrp-add", router, f"{router}-link", f"02:04:00:00:{number // 256:02x}:{number % 256:02x}", f"{link}/30"]
    yield ["lsp-add", "outside", f"{router}-out"]
    yield ["lsp-set-type", f"{router}-out", "router"]
    yield ["lsp-set-addresses", f"{router}-out", "router"]
    yield ["lsp-set-options", f"{router}-out", f"router-port={router}-link"]
    far = link[: link.rindex(".")] + f".{4 * (number % 64) + 1}"
    yield ["lr-route-add", router, "0.0.0.0/0", far, f"{router}-link"]
    yield ["lsp-add", "outside", f"{router}-far"]
    yield ["lsp-set-addresses", f"{router}-far", f"02:05{mac[5:]} {far}"]
    yield ["lr-nat-add", router, "snat", link, f"{web}.0/24"]
    yield ["acl-add", f"db{number}", "to-lport", "1001", f"ip4.src == {web}.0/24 && tcp.dst == 5432", "allow-related"]
    yield ["acl-add", f"db{number}", "to-lport", "1000", "ip4", "drop"]

def chained(commands):
    return [word for command in commands for word in ["--", *command]][1:]

def median(command):
    """Wall and CPU time, medians of five runs, and what was said."""
    walls, processors = [], []
    for _ in range(5):
        with tempfile.TemporaryFile() as output:
            start = time.perf_counter()
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            walls.append(time.perf_counter() - start)
            processors.append(usage.ru_utime + usage.ru_stime)
            output.seek(0)
            said = output.read().decode()
            assert process.returncode == 0, (command, said)
    return f"{statistics.median(walls) * 1000:.0f} ms ({statistics.median(processors) * 1000:.0f} ms CPU)", said

def ovn(count, folder):
    started, sockets = [], {}
    try:
        for name in ("nb", "sb"):
            database, sockets[name] = f"{folder}/{name}.db", f"unix:{folder}/{name}.sock"
            subprocess.run(["ovsdb-tool", "create", database, f"{root}/usr/share/ovn/ovn-{name}.ovsschema"], check=True)
            started.append(subprocess.Popen(["ovsdb-server", f"--remote=p{sockets[name]}", f"--unixctl={folder}/{name}.ctl", database], stderr=subprocess.DEVNULL))
        time.sleep(1)
        northd = [f"{root}/usr/bin/ovn-northd", f"--ovnnb-db={sockets['nb']}", f"--ovnsb-db={sockets['sb']}", f"--unixctl={folder}/northd.ctl"]
        started.append(subprocess.Popen(northd, stderr=subprocess.DEVNULL))
        call = ["ovn-nbctl", f"--db={sockets['nb']}", "--timeout=600"]
        subprocess.run([*call, "ls-add", "outside"], check=True)
        start = time.perf_counter()
        for first in range(0, count, 25):
            commands = [command for number in range(first, min(first + 25, count)) for command in ovn_tenant(number)]
            subprocess.run([*call, *chained(commands)], check=True)
        subprocess.run([*call, "--wait=sb", "sync"], check=True)
        made = time.perf_counter() - start
        number = count // 2
        web, _ = networks(number)
        low = f"{number // 256:02x}:{number % 256:02x}"
        packet = f'inport == "web{number}-pod" && eth.src == 02:03:00:00:{low} && eth.dst == 02:01:00:00:{low} && ip4.src == {web}.1 && ip4.dst == 8.8.8.8 && ip.ttl == 64 && tcp.src == 40000 && tcp.dst == 443'
        took, said = median(["ovn-trace", f"--db={sockets['sb']}", "--detailed", packet])
        assert "ct_snat" in said and f'output to "r{number}-far"' in said, said[-2000:]
        return made, took
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait()

def ours(count, folder):
    os.mkdir(f"{folder}/tenants")
    with open(f"{folder}/site.toml", "w") as file:
        file.write(site)
    for number in range(count):
        bridges = "".join(f'\n[[bridge]]\nname = "{side}"\ncidr = "{net}.0/24"\n' for side, net in zip(("web", "db"), networks(number)))
        rules = '\n[[rule]]\nname = "sql"\nfrom = { bridge = "web" }\nto = { bridge = "db", tcp = 5432 }\naction = "accept"\n\n[[rule]]\nname = "shut"\nto = { bridge = "db" }\naction = "drop"\n'
        with open(f"{folder}/tenants/t{number}.toml", "w") as file:
            file.write(f'name = "t{number}"\n{bridges}{rules}')
    number = count // 2
    took, said = median([midoform, "trace", folder, "--from", f"t{number}/web/{networks(number)[0]}.1", "--to", "8.8.8.8", "--tcp", "443"])
    assert "delivered to world" in said, said
    return took

print("| Tenants | OVN: made and compiled | ovn-trace | midoform trace: compiled and followed, with the answer |\n|-|-|-|-|")
for count in map(int, counts):
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        made, theirs = ovn(count, one)
        print(f"| {count} | {made:.1f} s | {theirs} | {ours(count, other)} |", flush=True)
PYTHON
