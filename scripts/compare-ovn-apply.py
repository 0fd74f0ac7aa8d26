"""The measurements of compare-ovn-apply.sh, which says what they are and checks what they need."""

import json, os, shutil, socket, statistics, subprocess, sys, tempfile, threading, time

MIDOFORM = os.environ["MIDOFORM"]
FOLDER = os.environ.get("FOLDER")
SCHEMAS = "/usr/share/ovn"
POOLS = '[pools]\nlinks = "172.16.0.0/12"\n'
OVN = 'name = "fleet"\n[ovn]\nnorthbound = "unix:{}"\nmanaged = true\ngateway_chassis = "gw1"\n' + POOLS
MIDONET = 'name = "fleet"\n[midonet]\nembedded = true\nmanaged = true\n' + POOLS


def tenant(number):
    """Returns a tenant of two bridges and two rules."""
    nets = [f"10.{number // 120 % 200}.{2 * (number % 120) + side}.0/24" for side in (0, 1)]
    return f"""name = "t{number:05}"
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
"""


class Run:
    """A process that was run: its time, its time on the processor, and the most memory that it had."""

    def __init__(self, command, **options):
        with tempfile.TemporaryFile() as errors:
            start = time.monotonic()
            process = subprocess.Popen(command, stderr=errors, **options)
            _, status, usage = os.wait4(process.pid, 0)
            self.seconds = time.monotonic() - start
            process.returncode = os.waitstatus_to_exitcode(status)
            self.processor = usage.ru_utime + usage.ru_stime
            self.memory = usage.ru_maxrss / 1024
            if process.returncode != 0:
                errors.seek(0)
                sys.exit(f"{command[:4]} ended with {process.returncode}: {errors.read().decode()[:2000]}")


class Process:
    """A process in the background."""

    def __init__(self, *command, **options):
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)

    def processor(self):
        """Returns the seconds that it has used on the processor."""
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self):
        self.process.kill()
        self.process.wait()


class Project:
    """A folder with a site and some tenants."""

    def __init__(self, tenants, site):
        self.folder = tempfile.mkdtemp(prefix="compare-", dir=FOLDER)
        self.project = f"{self.folder}/project"
        os.mkdir(self.project)
        self.write("site.toml", site)
        for number in range(tenants):
            self.write(f"t{number:05}.toml", tenant(number))

    def write(self, name, text):
        with open(f"{self.project}/{name}", "w") as file:
            file.write(text)

    def run(self, *arguments, **options):
        options.setdefault("stdout", subprocess.DEVNULL)
        return Run([MIDOFORM, *arguments], cwd=self.project, **options)

    def apply(self, *more, wait="none"):
        return self.run("apply", "--yes", "--quiet", "--allow-mass-delete", "--wait", wait, *more)

    def end(self):
        shutil.rmtree(self.folder)


class Database:
    """An ovsdb-server with one database."""

    def __init__(self, folder, name):
        self.socket, database = f"{folder}/{name}.sock", f"{folder}/{name}.db"
        subprocess.run(["ovsdb-tool", "create", database, f"{SCHEMAS}/ovn-{name}.ovsschema"], check=True)
        arguments = [f"--remote=punix:{self.socket}", f"--unixctl={folder}/{name}.ctl", f"--log-file={folder}/{name}.log"]
        self.server = Process("ovsdb-server", database, *arguments, "-vconsole:off")
        while not os.path.exists(self.socket):
            time.sleep(0.01)

    def end(self):
        self.server.end()


class World(Project):
    """A project with a northbound database of its own, which is empty. Between the two is a recorder if `recorded` is true."""

    def __init__(self, tenants, recorded=False):
        super().__init__(tenants, "")
        self.northbound = Database(self.folder, "nb")
        self.recorder = Recorder(self.northbound.socket, f"{self.folder}/recorder.sock") if recorded else None
        self.write("site.toml", OVN.format(self.recorder.path if recorded else self.northbound.socket))

    def end(self):
        if self.recorder:
            self.recorder.end()
        self.northbound.end()
        super().end()


class Recorder:
    """Passes on what clients and a server send, and keeps what the clients sent."""

    def __init__(self, server, path):
        self.server, self.path, self.sent = server, path, bytearray()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self.server)
            threading.Thread(target=self.pass_on, args=(client, server, self.sent), daemon=True).start()
            threading.Thread(target=self.pass_on, args=(server, client, None), daemon=True).start()

    @staticmethod
    def pass_on(source, sink, kept):
        while data := source.recv(1 << 20):
            if kept is not None:
                kept += data
            sink.sendall(data)
        try:
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def transactions(self, writes):
        """Returns the transactions that were sent, as bytes: those that change something, or those that read."""
        decoder, text, found = json.JSONDecoder(), self.sent.decode(), []
        while text:
            message, end = decoder.raw_decode(text)
            if message.get("method") == "transact":
                is_write = any(operation["op"] != "select" for operation in message["params"][1:])
                if is_write == writes:
                    found.append((text[:end].encode(), len(message["params"]) - 1))
            text = text[end:].lstrip()
        return found

    def end(self):
        self.listener.close()


def bare(path, transactions):
    """Sends transactions over a bare socket, one after the other, and returns the time from the connection to the last reply."""
    start = time.monotonic()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        for message, _ in transactions:
            connection.sendall(message)
            parts, open_braces = [], 0
            while True:
                part = connection.recv(1 << 20)
                parts.append(part)
                # No text of these replies has braces.
                open_braces += part.count(b"{") - part.count(b"}")
                if open_braces == 0:
                    break
            if b'"error":null' not in parts[0] + parts[-1] or b'"details"' in b"".join(parts):
                sys.exit(f"the bare transaction failed: {b''.join(parts)[:300]}")
    return time.monotonic() - start


def nbctl_arguments(transactions):
    """Returns the arguments of one ovn-nbctl call that makes the same rows."""
    decoded = (json.loads(message)["params"][1:] for message, _ in transactions)
    operations = [operation for one in decoded for operation in one]
    inserts = [operation for operation in operations if operation["op"] == "insert"]
    # ovn-nbctl names a row that it makes by `@NAME`.
    names = {operation["uuid"]: f"@r{number}" for number, operation in enumerate(inserts)}

    def atom(value):
        return names[value[1]] if isinstance(value, list) else json.dumps(value)

    def text(value):
        if not isinstance(value, list) or value[0] == "uuid":
            return atom(value)
        if value[0] == "map":
            return ",".join(f"{json.dumps(key)}={json.dumps(one)}" for key, one in value[1])
        return "[" + ",".join(atom(one) for one in value[1]) + "]"

    held = {}
    for operation in operations:
        if operation["op"] == "mutate":
            for column, _, value in operation["mutations"]:
                members = value[1] if value[0] == "set" else [value]
                key = (names[operation["where"][0][2][1]], column)
                held.setdefault(key, []).extend(atom(member) for member in members)
    arguments = []
    for operation in inserts:
        name = names[operation["uuid"]]
        arguments += ["--", f"--id={name}", "create", operation["table"]]
        arguments += [f"{column}={text(value)}" for column, value in operation["row"].items()]
        arguments += [f"{column}=[{','.join(members)}]" for (row, column), members in held.items() if row == name]
    return arguments[1:]


def milliseconds(values):
    return f"{statistics.median(values) * 1000:.1f} ms"


def ratio(ours, theirs):
    return f"{statistics.median(one / other for one, other in zip(ours, theirs)):.2f}"


def rounds(usual):
    return int(os.environ.get("ROUNDS", usual))


def recorded(tenants, writes=True, applies=1):
    """Returns the transactions of an apply."""
    world = World(tenants, recorded=True)
    for _ in range(applies):
        world.recorder.sent.clear()
        world.apply()
    found = world.recorder.transactions(writes)
    world.end()
    return found


def one_tenant():
    transactions = recorded(1)
    arguments = nbctl_arguments(transactions)
    ours, theirs, sent = [], [], []
    for _ in range(rounds(21)):
        world = World(1)
        ours.append(world.apply())
        world.end()
        world = World(1)
        theirs.append(Run(["ovn-nbctl", f"--db=unix:{world.northbound.socket}", *arguments], stdout=subprocess.DEVNULL))
        world.end()
        world = World(1)
        sent.append(bare(world.northbound.socket, transactions))
        world.end()
    count = sum(operations for _, operations in transactions)
    times = [[run.seconds for run in runs] for runs in (ours, theirs)]
    processor = [milliseconds([run.processor for run in runs]) for runs in (ours, theirs)]
    print(f"one new tenant and its site, {count} operations: midoform apply {milliseconds(times[0])} ({processor[0]} of CPU), "
          f"one ovn-nbctl {milliseconds(times[1])} ({processor[1]} of CPU), the bare transaction {milliseconds(sent)}; "
          f"ratio to ovn-nbctl {ratio(*times)}")


def new_tenants(tenants=200):
    transactions = recorded(tenants)
    ours, sent = [], []
    for _ in range(rounds(7)):
        world = World(tenants)
        ours.append(world.apply())
        world.end()
        world = World(tenants)
        sent.append(bare(world.northbound.socket, transactions))
        world.end()
    count = sum(operations for _, operations in transactions)
    times = [run.seconds for run in ours]
    processor = milliseconds([run.processor for run in ours])
    print(f"{tenants} new tenants, {count} operations: midoform apply {milliseconds(times)} ({processor} of CPU), "
          f"the bare transaction {milliseconds(sent)}; ratio {ratio(times, sent)}")


def nothing_to_do(tenants=1000):
    reads = recorded(tenants, writes=False, applies=2)
    world = World(tenants)
    world.apply()
    ours, sent = [], []
    for _ in range(rounds(9)):
        ours.append(world.apply())
        sent.append(bare(world.northbound.socket, reads))
    world.end()
    times = [run.seconds for run in ours]
    processor = milliseconds([run.processor for run in ours])
    print(f"{tenants} tenants, nothing to change: midoform apply {milliseconds(times)} ({processor} of CPU, "
          f"{max(run.memory for run in ours):.0f} MB), its reads {milliseconds(sent)}; ratio {ratio(times, sent)}")


def plans(tenants=10000):
    projects = [Project(tenants, OVN.format("/nowhere")), Project(tenants, MIDONET)]
    ours, theirs = [], []
    for _ in range(rounds(5)):
        for project, runs in zip(projects, (ours, theirs)):
            runs.append(project.run("plan", "--offline", "--json"))
    for project in projects:
        project.end()
    times = [[run.seconds for run in runs] for runs in (ours, theirs)]
    processor = [[run.processor for run in runs] for runs in (ours, theirs)]
    memory = [max(run.memory for run in runs) for runs in (ours, theirs)]
    print(f"plan of {tenants} tenants: OVN {milliseconds(times[0])} ({milliseconds(processor[0])} of CPU, {memory[0]:.0f} MB), "
          f"MidoNet {milliseconds(times[1])} ({milliseconds(processor[1])} of CPU, {memory[1]:.0f} MB); "
          f"ratio {ratio(*times)}, of CPU {ratio(*processor)}")


class Chassis(World):
    """A world with northd and one chassis, whose switch has no data path of the kernel."""

    def __init__(self, tenants):
        super().__init__(tenants)
        self.southbound = Database(self.folder, "sb")
        run = {**os.environ, "OVS_RUNDIR": self.folder, "OVN_RUNDIR": self.folder}
        local = f"{self.folder}/conf.db"
        subprocess.run(["ovsdb-tool", "create", local, "/usr/share/openvswitch/vswitch.ovsschema"], check=True)
        self.processes = [Process("ovsdb-server", local, f"--remote=punix:{self.folder}/db.sock",
                                  f"--unixctl={self.folder}/conf.ctl", f"--log-file={self.folder}/conf.log", env=run)]
        while not os.path.exists(f"{self.folder}/db.sock"):
            time.sleep(0.01)
        db = f"unix:{self.folder}/db.sock"
        ids = [f"external_ids:ovn-remote=unix:{self.southbound.socket}", "external_ids:ovn-encap-type=geneve",
               "external_ids:ovn-encap-ip=127.0.0.1", "external_ids:system-id=gw1"]
        vsctl = ["ovs-vsctl", "--no-wait", f"--db={db}"]
        subprocess.run([*vsctl, "init"], check=True)
        subprocess.run([*vsctl, "set", "Open_vSwitch", ".", *ids], check=True)
        self.northd = Process("ovn-northd", f"--ovnnb-db=unix:{self.northbound.socket}", f"--ovnsb-db=unix:{self.southbound.socket}",
                              f"--unixctl={self.folder}/northd.ctl", f"--log-file={self.folder}/northd.log", env=run)
        self.switch = Process("ovs-vswitchd", db, "--enable-dummy=override", "--disable-system",
                              f"--unixctl={self.folder}/vswitchd.ctl", f"--log-file={self.folder}/vswitchd.log", env=run)
        self.controller = Process("ovn-controller", db, f"--unixctl={self.folder}/controller.ctl",
                                  f"--log-file={self.folder}/controller.log", env=run)
        self.processes += [self.northd, self.switch, self.controller]
        # The chassis is there once it answers a first wait.
        subprocess.run(["ovn-nbctl", f"--db=unix:{self.northbound.socket}", "--wait=hv", "--timeout=60", "sync"], check=True)

    def end(self):
        for process in self.processes:
            process.end()
        self.southbound.end()
        super().end()


def settle():
    for program in ("ovn-northd", "ovn-controller", "ovs-vswitchd"):
        if shutil.which(program) is None:
            print(f"SKIPPED: {program} is not installed")
            return
    for tenants in (1, 50, 200):
        figures = []
        for _ in range(rounds(3)):
            world = Chassis(tenants)
            before = [process.processor() for process in (world.northd, world.controller)]
            first = world.apply(wait="hv", *["--wait-timeout", "600"]).seconds
            after = [process.processor() for process in (world.northd, world.controller)]
            world.write(f"t{tenants:05}.toml", tenant(tenants))
            to_southbound = world.apply(wait="sb").seconds
            figures.append((first, after[0] - before[0], after[1] - before[1], to_southbound))
            world.end()
        first, northd, controller, more = (milliseconds(values) for values in zip(*figures))
        print(f"{tenants} new tenants until the chassis has them: {first} (northd {northd} of CPU, ovn-controller {controller}); "
              f"one more tenant until the southbound database has it: {more}")


PARTS = {"one": one_tenant, "many": new_tenants, "nothing": nothing_to_do, "plan": plans, "settle": settle}

for part in sys.argv[1:] or PARTS:
    PARTS[part]()
    sys.stdout.flush()
print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
