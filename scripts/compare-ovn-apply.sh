#!/bin/sh
# Applies tenants to a real northbound database with midoform, and sends the same rows with OVN's own tools: compare-ovn-apply.sh
# Needs ovsdb-server and ovsdb-tool (Debian: openvswitch-common) and OVN's schema (ovn-common). Every figure is a median.
set -eu
cd "$(dirname "$0")/.."
for program in ovsdb-server ovsdb-tool ovsdb-client ovn-nbctl python3; do
    if ! command -v "$program" > /dev/null 2>&1; then
        echo "SKIPPED: $program is not installed"
        exit 0
    fi
done
if [ -z "${MIDOFORM:-}" ]; then
    cargo build --release --locked --quiet --package midoform
    MIDOFORM="$PWD/target/release/midoform"
fi
exec python3 - "$MIDOFORM" <<'PYTHON'
import json, os, resource, socket, statistics, subprocess, sys, tempfile, time

midoform = sys.argv[1]
SCHEMA = "/usr/share/ovn/ovn-nb.ovsschema"
SITE = 'name = "fleet"\n[ovn]\nnorthbound = "unix:{}"\nmanaged = true\ngateway_chassis = "gw1"\n[pools]\nlinks = "172.16.0.0/12"\n'
MIDONET = 'name = "fleet"\n[midonet]\nembedded = true\nmanaged = true\n[pools]\nlinks = "172.16.0.0/12"\n'

def tenant(number):
    nets = [f"10.{number // 120 % 200}.{2 * (number % 120) + side}.0/24" for side in (0, 1)]
    return f'''name = "t{number:05}"
[[bridge]]
name = "web"
cidr = "{nets[0]}"
[[bridge]]
name = "db"
cidr = "{nets[1]}"
[[rule]]
name = "web-to-db"
action = "accept"
from = {{ bridge = "web" }}
to = {{ bridge = "db", tcp = 5432 }}
[[rule]]
name = "closed"
action = "drop"
to = {{ bridge = "db" }}
'''

class Server:
    """A northbound database in a folder of its own, and a project of some tenants."""
    def __init__(self, tenants, site=SITE):
        self.folder = tempfile.TemporaryDirectory()
        path = self.folder.name
        self.socket = f"{path}/nb.sock"
        subprocess.run(["ovsdb-tool", "create", f"{path}/nb.db", SCHEMA], check=True)
        self.server = subprocess.Popen(["ovsdb-server", f"{path}/nb.db", f"--remote=punix:{self.socket}", f"--unixctl={path}/ctl", f"--log-file={path}/log", "-vconsole:off"])
        while not os.path.exists(self.socket):
            time.sleep(0.01)
        self.project = f"{path}/project"
        os.mkdir(self.project)
        self.write("site.toml", site.format(self.socket))
        for number in range(tenants):
            self.write(f"t{number:05}.toml", tenant(number))
    def write(self, name, text):
        with open(f"{self.project}/{name}", "w") as file:
            file.write(text)
    def run(self, *arguments):
        start = time.monotonic()
        ran = subprocess.run([midoform, *arguments], cwd=self.project, capture_output=True, text=True)
        if ran.returncode != 0:
            sys.exit(f"{arguments}: {ran.returncode}: {ran.stderr}")
        return time.monotonic() - start, ran
    def apply(self, *more):
        return self.run("apply", "--yes", "--quiet", "--allow-mass-delete", "--wait", "none", *more)[0]
    def end(self):
        self.server.kill()
        self.server.wait()
        self.folder.cleanup()

def operations(server):
    plan = json.loads(server.run("plan", "--offline", "--json")[1].stdout)
    return [call for step in plan["steps"] for call in step.get("calls", [])]

def bare(server, transaction):
    """Sends a transaction over a bare socket, and returns the time until its reply."""
    message = json.dumps({"method": "transact", "params": ["OVN_Northbound", *transaction], "id": 1}).encode()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(server.socket)
        start = time.monotonic()
        connection.sendall(message)
        reply, decoder = b"", json.JSONDecoder()
        while True:
            reply += connection.recv(1 << 20)
            if reply.count(b"{") == reply.count(b"}"):
                break
        took = time.monotonic() - start
    result = json.loads(reply)
    if result["error"] or any("error" in (one or {}) for one in result["result"]):
        sys.exit(f"the bare transaction failed: {reply[:300]}")
    return took

def nbctl_arguments(calls):
    """Returns the arguments of one ovn-nbctl call that makes rows of the same number and kind."""
    arguments = []
    for number, call in enumerate(call for call in calls if call["op"] == "insert"):
        arguments += ["--", f"--id=@r{number}", "create", call["table"]]
        for column, value in call["row"].items():
            if isinstance(value, list) and value[0] == "set" and not value[1]:
                continue
            if isinstance(value, list) and value[0] == "set" and isinstance(value[1][0], list):
                continue
            if isinstance(value, list) and value[0] == "set":
                value = ",".join(json.dumps(one) for one in value[1])
            elif isinstance(value, list):
                value = ",".join(f"{key}={json.dumps(one)}" for key, one in value[1])
            else:
                value = json.dumps(value)
            arguments.append(f"{column}={value}")
    return arguments[1:]

def medians(times):
    return f"{statistics.median(times) * 1000:.1f} ms"

def one_tenant():
    ours, theirs, sent = [], [], []
    for _ in range(9):
        server = Server(1)
        calls = operations(server)
        ours.append(server.apply())
        server.end()
        server = Server(1)
        sent.append(bare(server, calls))
        server.end()
        server = Server(1)
        start = time.monotonic()
        subprocess.run(["ovn-nbctl", f"--db=unix:{server.socket}", *nbctl_arguments(calls)], check=True, capture_output=True)
        theirs.append(time.monotonic() - start)
        server.end()
    print(f"one tenant, {len(calls)} operations: midoform apply {medians(ours)}, one ovn-nbctl {medians(theirs)}, the bare transaction {medians(sent)}")

def many(tenants):
    ours, sent = [], []
    for _ in range(3):
        server = Server(tenants)
        calls = operations(server)
        ours.append(server.apply())
        server.end()
        server = Server(tenants)
        sent.append(bare(server, calls))
        server.end()
    print(f"{tenants} new tenants, {len(calls)} operations: midoform apply {medians(ours)}, the bare transaction {medians(sent)}, ratio {statistics.median(ours) / statistics.median(sent):.2f}")

def no_change(tenants):
    server = Server(tenants)
    server.apply()
    tables = ["Address_Set", "Load_Balancer", "Logical_Router", "Logical_Switch", "Logical_Router_Port", "Gateway_Chassis", "Logical_Switch_Port", "Port_Group", "Logical_Router_Static_Route", "Logical_Router_Policy", "NAT", "ACL"]
    reads = [{"op": "select", "table": table, "where": []} for table in tables]
    ours = [server.apply() for _ in range(5)]
    sent = [bare(server, reads) for _ in range(5)]
    server.end()
    print(f"{tenants} tenants, nothing to change: midoform apply {medians(ours)}, its reads {medians(sent)}, ratio {statistics.median(ours) / statistics.median(sent):.2f}")

def plans(tenants):
    times = {}
    for name, site in (("OVN", SITE), ("MidoNet", MIDONET)):
        server = Server(tenants, site)
        times[name] = statistics.median(server.run("plan", "--offline", "--json")[0] for _ in range(3))
        server.end()
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"plan of {tenants} tenants: OVN {times['OVN']:.2f} s, MidoNet {times['MidoNet']:.2f} s, ratio {times['OVN'] / times['MidoNet']:.2f}; the largest process had {memory:.0f} MB")

one_tenant()
many(200)
no_change(1000)
plans(10000)
PYTHON
