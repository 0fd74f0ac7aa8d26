//! Starts what is not running: the databases, northd, the hosts, the network between them, the world.

use crate::command::wait_until;
use crate::description::{Seat, World, host_name};
use crate::error::{Result, at};
use crate::lab::{CENTRAL, CENTRAL_DAEMONS, HOST_DAEMONS, Lab};
use crate::namespace;
use std::time::Duration;

/// The time in which a daemon opens its socket.
const SOON: Duration = Duration::from_secs(30);
/// The bridge of the network between the hosts.
const UNDERLAY: &str = "underlay";

impl Lab {
    /// Starts everything but the places. What runs already stays as it is.
    ///
    /// # Errors
    /// When a program fails; what was started stays, and another call goes on from there.
    pub fn start(&self, progress: &dyn Fn(&str)) -> Result<()> {
        self.programs.write_folder(&self.folder.path().join("bin"))?;
        progress("starting OVN's databases and ovn-northd");
        self.start_central()?;
        for number in 1..=self.description.ground.hosts {
            progress(&format!("starting {}", host_name(number)));
            self.start_host(number)?;
        }
        progress("making the world");
        self.make_world()
    }

    fn start_central(&self) -> Result<()> {
        let namespace = self.namespace(CENTRAL)?;
        let [nb, sb, northd] = CENTRAL_DAEMONS;
        for (daemon, schema) in [(nb, "ovn/ovn-nb.ovsschema"), (sb, "ovn/ovn-sb.ovsschema")] {
            let file = self.database(CENTRAL, daemon.name, schema)?;
            let socket = self.part(CENTRAL).join(format!("{}.sock", daemon.name));
            let remote = format!("--remote=punix:{}", socket.display());
            self.daemon(daemon, CENTRAL, &[file.display().to_string(), remote])?;
            wait_until("a database's socket", SOON, "", || Ok(socket.exists()))?;
        }
        self.nbctl(&["--no-wait", "init"])?;
        let remotes =
            [format!("--ovnnb-db={}", self.northbound()), format!("--ovnsb-db={}", self.southbound())];
        self.daemon(northd, CENTRAL, &remotes)?;
        if self.description.ground.hosts > 1 && !self.has_link(&namespace, UNDERLAY) {
            let mtu = self.description.ground.underlay_mtu;
            self.ip(
                &namespace,
                &format!("link add {UNDERLAY} mtu {mtu} type bridge\nlink set {UNDERLAY} up\n"),
            )?;
        }
        Ok(())
    }

    fn start_host(&self, number: u8) -> Result<()> {
        let host = host_name(number);
        let namespace = self.namespace(&host)?;
        let [db, vswitchd, controller] = HOST_DAEMONS;
        let file = self.database(&host, db.name, "openvswitch/vswitch.ovsschema")?;
        let local = self.local(number);
        let remote = format!("--remote=punix:{}", local.trim_start_matches("unix:"));
        self.daemon(db, &host, &[file.display().to_string(), remote])?;
        self.vsctl(number, &["--no-wait".to_owned(), "init".to_owned()])?;
        self.vsctl(number, &self.settings_of(number))?;
        let mut arguments = vec![local.clone()];
        if self.is_userspace() {
            arguments.push("--disable-system".to_owned());
        }
        self.daemon(vswitchd, &host, &arguments)?;
        let kind = self.description.ground.datapath.kind();
        let bridges = format!(
            "-- --may-exist add-br br-int -- set bridge br-int datapath_type={kind} fail_mode=secure other_config:disable-in-band=true \
             -- --may-exist add-br br-ex -- set bridge br-ex datapath_type={kind} fail_mode=standalone"
        );
        self.vsctl(number, &words(&bridges))?;
        if self.description.ground.hosts > 1 {
            self.join_underlay(number, &namespace)?;
        }
        self.daemon(controller, &host, &[local])
    }

    /// Returns the arguments of `ovs-vsctl` that set what ovn-controller and Open vSwitch read.
    fn settings_of(&self, number: u8) -> Vec<String> {
        let ground = &self.description.ground;
        let host = host_name(number);
        let mut settings = vec![
            format!("external_ids:system-id={host}"),
            format!("external_ids:hostname={host}"),
            format!("external_ids:ovn-remote=\"{}\"", self.southbound()),
            format!("external_ids:ovn-encap-type={}", ground.encapsulation),
            format!("external_ids:ovn-encap-ip={}", underlay_address(number)),
            format!("external_ids:ovn-bridge-datapath-type={}", ground.datapath.kind()),
            "other_config:vlan-limit=0".to_owned(),
        ];
        if number == 1 {
            settings.push(format!("external_ids:ovn-bridge-mappings=\"{}:br-ex\"", ground.world.network));
        }
        let command = ["--no-wait", "set", "open_vswitch", "."].map(str::to_owned);
        command.into_iter().chain(settings).collect()
    }

    /// Connects a host with the network between the hosts.
    fn join_underlay(&self, number: u8, namespace: &str) -> Result<()> {
        let central = self.folder.namespace(CENTRAL);
        let (mtu, address) = (self.description.ground.underlay_mtu, underlay_address(number));
        let host = host_name(number);
        if !self.has_link(namespace, "eth0") {
            self.pair(
                &central,
                &format!("{host} mtu {mtu}"),
                &format!("peer name eth0 mtu {mtu} netns {namespace}"),
            )?;
            self.ip(&central, &format!("link set {host} master {UNDERLAY}\n"))?;
        }
        self.fill_in_checksums(&central, &host)?;
        self.fill_in_checksums(namespace, "eth0")?;
        // The userspace datapath sends its tunnels through a bridge of its own, which has the address.
        let holder = if self.is_userspace() { "br-phy" } else { "eth0" };
        if self.is_userspace() {
            self.vsctl(
                number,
                &words(&format!(
                    "-- --may-exist add-br br-phy -- set bridge br-phy datapath_type=netdev fail_mode=standalone \
                     -- --may-exist add-port br-phy eth0 -- set interface br-phy mtu_request={mtu}"
                )),
            )?;
        }
        self.ip(
            namespace,
            &format!("link set eth0 up\naddr replace {address}/24 dev {holder}\nlink set {holder} up\n"),
        )
    }

    /// Makes the world: it has every address outside, and answers for each.
    fn make_world(&self) -> Result<()> {
        let World { address, prefix, provider, vlan, .. } = &self.description.ground.world;
        let name = Seat::World.namespace(&self.folder);
        let mark = self.mark("world")?;
        if !mark.exists() || !namespace::exists(&name) {
            // A part of it may be left of a command that was killed.
            namespace::delete(&name)?;
            let namespace = self.namespace(&Seat::World.name())?;
            let host = self.folder.namespace(&host_name(1));
            self.pair(&host, "world", &format!("peer name eth0 netns {namespace}"))?;
            // Packets that come in are the world's own, whatever their destination. Packets that go out follow the other routes. So
            // the rule for the local table, which comes first otherwise, holds for what comes in alone.
            self.ip(
                &namespace,
                &format!(
                    "link set eth0 up\naddr add {address}/{prefix} dev eth0\nroute add default via {provider} dev eth0\n\
                     route add local 0.0.0.0/0 dev lo table local\n\
                     rule add pref 10 iif eth0 lookup local\nrule add pref 20 lookup main\nrule add pref 30 lookup local\n\
                     rule del pref 0\n"
                ),
            )?;
            namespace::within(&namespace, || {
                for setting in ["conf/all/rp_filter", "conf/eth0/rp_filter", "icmp_ratelimit"] {
                    // Where the kernel has no such setting, it limits nothing.
                    let _ = std::fs::write(format!("/proc/sys/net/ipv4/{setting}"), "0");
                }
                Ok(())
            })?;
            self.fill_in_checksums(&namespace, "eth0")?;
            std::fs::write(&mark, "").map_err(at(&mark))?;
        }
        let routes = self.description.world_routes.iter();
        let lines = routes.map(|route| format!("route replace {route} via {provider} dev eth0\n"));
        self.ip(&name, &lines.collect::<String>())?;
        let tag = vlan.map_or(String::new(), |vlan| format!(" tag={vlan}"));
        self.vsctl(1, &words(&format!("-- --may-exist add-port br-ex world{tag}"))).map(drop)
    }
}

/// Returns the address of a host's tunnels.
fn underlay_address(number: u8) -> std::net::Ipv4Addr {
    std::net::Ipv4Addr::new(169, 254, 77, number)
}

/// Returns the words of a command line.
pub(crate) fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}
