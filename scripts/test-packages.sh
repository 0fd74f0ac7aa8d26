#!/bin/sh
# Installs the packages in a clean root of this Debian release, attaches a pod, upgrades from an earlier version while it is
# attached, detaches it, removes and purges the packages, and looks at what each step leaves. Prints SKIPPED: and the reason
# where it can't run. The programs are those of target/debug.
set -eu
cd "$(dirname "$0")/.."

skip() {
    echo "SKIPPED: packages: $1"
    exit 0
}
[ "$(id -u)" = 0 ] || skip "a clean root needs root"
for program in mmdebstrap dpkg-deb unshare ip; do
    command -v "$program" > /dev/null 2>&1 || skip "$program is not installed"
done
[ -x target/cargo-deb/bin/cargo-deb ] || command -v cargo-deb > /dev/null 2>&1 || skip "cargo-deb is not installed"
for program in midoform midonet-cni; do
    [ -x "target/debug/$program" ] || skip "target/debug/$program is not built"
done

# The second part runs in namespaces of its own: all that it mounts and starts ends with it.
if [ "${1:-}" != inside ]; then
    # shellcheck source=/dev/null
    suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")
    if [ ! -s target/clean-root.tar ]; then
        mmdebstrap --quiet --variant=minbase --format=tar "$suite" target/clean-root.tar.new > target/clean-root.log 2>&1 ||
            skip "mmdebstrap made no root (target/clean-root.log says why)"
        mv target/clean-root.tar.new target/clean-root.tar
    fi
    rm -rf target/packages/old target/packages/*.deb
    sh scripts/package.sh --profile dev --deb-version 0.0.9
    mkdir -p target/packages/old
    mv target/packages/*_0.0.9*.deb target/packages/old/
    sh scripts/package.sh --profile dev
    root=$(mktemp -d)
    result=0
    unshare --mount --net --pid --mount-proc --fork --kill-child --propagation private sh "$0" inside "$root" || result=$?
    rm -rf --one-file-system "$root"
    exit "$result"
fi

root=$2
tar -C "$root" -xf target/clean-root.tar --exclude './dev/*'
cp target/packages/*.deb "$root/tmp/"
mkdir "$root/tmp/old"
cp target/packages/old/*.deb "$root/tmp/old/"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount --rbind /dev "$root/dev"
ip link set lo up

exec 3>&1
inside() {
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive chroot "$root" "$@"
}
fail() {
    echo "FAILED: packages: $1" >&2
    exit 1
}
expect() {
    what=$1
    shift
    "$@" || fail "$what"
    echo "ok: $what" >&3
}
absent() {
    [ ! -e "$root$1" ]
}

expect "the earlier version is installed" inside sh -c 'dpkg --install /tmp/old/*.deb' > "$root/tmp/log"
for file in usr/bin/midoform opt/cni/bin/midonet-cni usr/share/man/man1/midoform.1.gz usr/share/man/man1/midoform-plan.1.gz \
    usr/share/bash-completion/completions/midoform usr/share/zsh/vendor-completions/_midoform \
    usr/share/fish/vendor_completions.d/midoform.fish usr/lib/systemd/system/midoform-serve.service \
    usr/lib/systemd/system/midoform-drift.service usr/lib/systemd/system/midoform-bind.service usr/share/doc/midoform/copyright usr/share/doc/midonet-cni/cni.md; do
    [ -s "$root/$file" ] || fail "the packages have no $file"
done
expect "no service is enabled" absent /etc/systemd/system/multi-user.target.wants/midoform-serve.service
expect "no network configuration is written" absent /etc/cni/net.d
if command -v systemd-analyze > /dev/null 2>&1; then
    for unit in serve drift bind; do
        mkdir -p "$root/tmp/units"
        # What the unit names is in the clean root.
        sed "s,=/usr/bin/midoform,=$root/usr/bin/midoform," "$root/usr/lib/systemd/system/midoform-$unit.service" \
            > "$root/tmp/units/midoform-$unit.service"
        expect "midoform-$unit.service is a correct unit" systemd-analyze verify --man=no "$root/tmp/units/midoform-$unit.service"
        expect "midoform-$unit.service exposes little" systemd-analyze security --offline=true --threshold=20 --no-pager \
            "$root/tmp/units/midoform-$unit.service" > /dev/null
    done
else
    echo "SKIPPED: packages: systemd-analyze is not installed"
fi

# A pod of the earlier version.
host=11111111-2222-3333-4444-555555555555
inside midoform serve --listen 127.0.0.1:8181 --host $host=node1 --agent > "$root/tmp/serve.log" 2>&1 &
for _ in $(seq 100); do
    ! grep -q 127.0.0.1:8181 "$root/tmp/serve.log" || break
    sleep 0.1
done
cat > "$root/tmp/network.json" << END
{"cniVersion": "1.0.0", "name": "midonet", "type": "midonet-cni", "tenant": "acme", "host_uuid": "$host",
  "site": {"name": "lab", "midonet": {"url": "http://127.0.0.1:8181/midonet-api", "managed": true},
    "tunnel_zone": {"name": "lab"},
    "host": [{"name": "node1", "tunnel_address": "10.255.0.1", "id": "$host"}]}}
END
mkdir -p "$root/run/netns"
cni() {
    verb=$1
    container=$2
    config=${3:-/tmp/network.json}
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin CNI_COMMAND="$verb" CNI_CONTAINERID="$container" CNI_IFNAME=eth0 \
        CNI_NETNS="/run/netns/$container" CNI_PATH=/opt/cni/bin chroot "$root" \
        sh -c "exec /opt/cni/bin/midonet-cni < $config"
}
for pod in one two; do
    touch "$root/run/netns/$pod"
    unshare --net="$root/run/netns/$pod" true
done
expect "a pod is attached by the earlier version" cni ADD one > "$root/tmp/previous.json"

inside sh -c 'dpkg --install /tmp/*.deb' > /dev/null || fail "the packages can't be upgraded"
expect "the packages are upgraded while the pod is attached" [ "$(inside dpkg-query -W -f '${Version}' midonet-cni)" != 0.0.9 ]
sed "s/^{/{\"prevResult\": $(tr -d '\n' < "$root/tmp/previous.json" | sed 's/[&/]/\\&/g'), /" "$root/tmp/network.json" \
    > "$root/tmp/check.json"
expect "the attached pod is as its ADD made it" cni CHECK one /tmp/check.json
expect "another pod is attached by the new version" cni ADD two > /dev/null

if inside dpkg --remove midonet-cni > "$root/tmp/log" 2>&1; then fail "the plugin was removed under its pods"; fi
expect "removing the plugin under its pods is refused" grep -q "containers are attached" "$root/tmp/log"
expect "the plugin is still there" [ -x "$root/opt/cni/bin/midonet-cni" ]
expect "the pod of the earlier version is detached" cni DEL one
expect "the other pod is detached" cni DEL two

# The kernel may take a moment to remove an interface.
for _ in $(seq 100); do
    [ -n "$(ls -d /sys/class/net/vif* 2> /dev/null)" ] || break
    sleep 0.1
done
inside dpkg --remove midonet-cni midoform > "$root/tmp/log" 2>&1 || fail "the packages can't be removed: $(cat "$root/tmp/log")"
for file in /opt/cni/bin/midonet-cni /usr/bin/midoform /usr/lib/systemd/system/midoform-serve.service; do
    expect "removed: $file" absent "$file"
done
expect "the plugin's state outlives the removal" [ -d "$root/var/lib/midonet-cni" ]
mkdir -p "$root/etc/midoform"
echo 'name = "mine"' > "$root/etc/midoform/site.toml"
inside dpkg --purge midonet-cni midoform > "$root/tmp/log" 2>&1 || fail "the packages can't be purged: $(cat "$root/tmp/log")"
expect "purged: the plugin's state" absent /var/lib/midonet-cni
expect "the author's site file outlives the purge" [ -s "$root/etc/midoform/site.toml" ]
echo "packages: all steps passed"
