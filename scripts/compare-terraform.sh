#!/bin/sh
# Plans the same shape with Terraform and with midoform: compare-terraform.sh [TENANTS...]
# 21 resources a tenant, with references, as built-in terraform_data: Terraform's own overhead, no API.
set -eu
cd "$(dirname "$0")/.."
if ! command -v terraform > /dev/null 2>&1; then
    echo "SKIPPED: terraform is not installed"
    exit 0
fi
cargo build --release --locked --quiet --package midoform
exec python3 - "$PWD/target/release/midoform" "${@:-50 250}" <<'PYTHON'
import hashlib, os, subprocess, sys, tempfile, time

binary, counts = sys.argv[1], " ".join(sys.argv[2:]).split()
site = 'name = "fleet"\n\n[midonet]\nembedded = true\nmanaged = true\n\n[pools]\nlinks = "172.16.0.0/12"\nbridges = "10.0.0.0/8"\nbridge_prefix = 27\n'

def run(command, folder, output=subprocess.DEVNULL):
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.DEVNULL, env={**os.environ, "CHECKPOINT_DISABLE": "1"})
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return time.perf_counter() - start, usage.ru_maxrss / 1024

def terraform_tenant(number):
    def resource(name, **references):
        inputs = ", ".join(f'{key} = terraform_data.t{number}_{value}.id' for key, value in references.items())
        separator = ", " if inputs else ""
        return f'resource "terraform_data" "t{number}_{name}" {{\n  input = {{ name = "{name}"{separator}{inputs} }}\n}}\n'
    text = resource("chain_in") + resource("chain_out") + resource("router", inbound="chain_in", outbound="chain_out")
    text += resource("provider_port") + resource("uplink_port", router="router") + resource("link", port="uplink_port", peer="provider_port")
    text += resource("default_route", router="router", port="uplink_port") + resource("provider_route", port="provider_port")
    text += resource("answers", chain="chain_out") + resource("snat", chain="chain_out", port="uplink_port") + resource("rev_snat", chain="chain_in", port="uplink_port")
    for bridge in ("web", "db"):
        text += resource(bridge) + resource(f"{bridge}_gateway", router="router") + resource(f"{bridge}_peer", bridge=bridge)
        text += resource(f"{bridge}_link", port=f"{bridge}_gateway", peer=f"{bridge}_peer") + resource(f"{bridge}_route", router="router", port=f"{bridge}_gateway")
    return text

for count in map(int, counts):
    with tempfile.TemporaryDirectory() as theirs, tempfile.TemporaryDirectory() as ours:
        with open(f"{theirs}/main.tf", "w") as file:
            file.writelines(terraform_tenant(number) for number in range(count))
        subprocess.run(["terraform", "init", "-backend=false"], cwd=theirs, check=True, stdout=subprocess.DEVNULL)
        os.mkdir(f"{ours}/tenants")
        with open(f"{ours}/site.toml", "w") as file:
            file.write(site)
        for number in range(count):
            with open(f"{ours}/tenants/t{number:06}.toml", "w") as file:
                file.write(f'name = "t{number:06}"\nprofile = "rainbond"\n\n[[bridge]]\nname = "web"\n\n[[bridge]]\nname = "db"\n')
        seconds, memory = run(["terraform", "plan", "-out=plan", "-input=false"], theirs)
        hashes = set()
        for _ in range(3):
            with tempfile.TemporaryFile() as output:
                own_seconds, own_memory = run([binary, "plan", ours, "--format", "json"], ours, output)
                output.seek(0)
                hashes.add(hashlib.sha256(output.read()).hexdigest())
        print(f"| {21 * count} | {seconds:.1f} s | {memory:.0f} MB | {own_seconds * 1000:.0f} ms | {own_memory:.0f} MB |", flush=True)
        assert len(hashes) == 1, "three plans of one input are the same"
PYTHON
