//! What a laboratory consists of. It is written down before anything of it is made.

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use ipnet::Ipv4Net;
use midoform_store::atomic_file::replace_atomically;
use serde::{Deserialize, Serialize};

use crate::command::run;
use crate::error::{LabError, Result, at};
use crate::folder::Folder;

/// The format of the description.
const FORMAT: u32 = 1;

/// What a laboratory consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The format of the description.
    format: u32,
    /// The spec that it was made of.
    pub spec: PathBuf,
    /// What can't change while it is there.
    pub ground: Ground,
    /// The networks that the world reaches through the provider router although they are in its own network.
    pub world_routes: Vec<Ipv4Net>,
    /// The ports that exposed ports lead to.
    pub targets: Vec<Target>,
    /// The places.
    pub places: Vec<Place>,
}

/// An exposed port, and where it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Target {
    /// True for TCP, false for UDP.
    pub tcp: bool,
    /// The public address.
    pub address: Ipv4Addr,
    /// The public port.
    pub public: u16,
    /// The pod's port.
    pub port: u16,
}

/// What can't change while a laboratory is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ground {
    /// The site's name.
    pub site: String,
    /// The folder of an unpacked distribution; none: the system's programs.
    pub programs: Option<PathBuf>,
    /// Where packets are forwarded.
    pub datapath: Datapath,
    /// The number of hosts.
    pub hosts: u8,
    /// The tunnels' encapsulation, as `ovn-encap-type` names it.
    pub encapsulation: String,
    /// The MTU of the network between the hosts.
    pub underlay_mtu: u16,
    /// The network outside.
    pub world: World,
}

/// Where packets are forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Datapath {
    /// In the kernel, by its module `openvswitch`.
    Kernel,
    /// In the process of Open vSwitch.
    Userspace,
}

impl Datapath {
    /// Returns the machine's best one: the kernel's, if it has the module `openvswitch` or can load it.
    pub fn of_machine() -> Datapath {
        let is_loaded = || Path::new("/sys/module/openvswitch").exists();
        if !is_loaded() {
            // Where there is no modprobe, or no such module, the other datapath is there.
            let _ = run(Command::new("modprobe").args(["-q", "openvswitch"]));
        }
        if is_loaded() { Datapath::Kernel } else { Datapath::Userspace }
    }

    /// Returns its name, for people.
    pub fn name(self) -> &'static str {
        match self {
            Datapath::Kernel => "kernel",
            Datapath::Userspace => "userspace",
        }
    }

    /// Returns its name in Open vSwitch's database.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Datapath::Kernel => "system",
            Datapath::Userspace => "netdev",
        }
    }
}

/// The network outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct World {
    /// Its name in `ovn-bridge-mappings`.
    pub network: String,
    /// The provider router's address in it.
    pub provider: Ipv4Addr,
    /// The world's own address in it: the provider router's next hop.
    pub address: Ipv4Addr,
    /// The prefix length.
    pub prefix: u8,
    /// The VLAN; none: frames have no tag.
    pub vlan: Option<u16>,
}

/// A place in a tenant's network: a namespace behind a port of a switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Its number, which its namespace and its interface on the host are named by.
    pub number: u32,
    /// The tenant.
    pub tenant: String,
    /// The bridge.
    pub bridge: String,
    /// The static port; none: a pod.
    pub port: Option<String>,
    /// Its address.
    pub address: Ipv4Addr,
    /// The prefix length of the bridge's network.
    pub prefix: u8,
    /// The bridge's gateway.
    pub gateway: Ipv4Addr,
    /// Its MAC address.
    pub mac: String,
    /// Its MTU.
    pub mtu: u16,
    /// The number of its host, from 1 on.
    pub host: u8,
    /// The name of the logical switch port.
    pub logical_port: String,
    /// The name of the logical switch.
    pub logical_switch: String,
}

impl Place {
    /// Returns its name: `TENANT/BRIDGE/ADDRESS`.
    pub fn name(&self) -> String {
        format!("{}/{}/{}", self.tenant, self.bridge, self.address)
    }

    /// Returns the name of its static port, `TENANT/PORT`, if it has one.
    pub fn port_name(&self) -> Option<String> {
        self.port.as_ref().map(|port| format!("{}/{port}", self.tenant))
    }

    /// Returns the name of its interface on the host.
    pub fn host_interface(&self) -> String {
        format!("p{}", self.number)
    }

    /// Returns true if both are the same place, whatever their numbers and hosts.
    pub fn is_same_as(&self, other: &Place) -> bool {
        Place { number: other.number, host: other.host, ..self.clone() } == *other
    }
}

/// A place that people name: one of a tenant, the world, or a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seat<'a> {
    /// A place of a tenant.
    Place(&'a Place),
    /// The world, which has every address outside.
    World,
    /// A host, by its number.
    Host(u8),
}

impl Seat<'_> {
    /// Returns the name of its namespace.
    pub fn namespace(&self, folder: &Folder) -> String {
        match self {
            Seat::Place(place) => folder.namespace(&place.host_interface()),
            Seat::World => folder.namespace("world"),
            Seat::Host(number) => folder.namespace(&host_name(*number)),
        }
    }

    /// Returns its name.
    pub fn name(&self) -> String {
        match self {
            Seat::Place(place) => place.name(),
            Seat::World => "world".to_owned(),
            Seat::Host(number) => host_name(*number),
        }
    }
}

/// Returns the name of a host, which is also its chassis's.
pub fn host_name(number: u8) -> String {
    format!("host{number}")
}

impl Description {
    /// Describes a laboratory.
    pub fn new(spec: PathBuf, ground: Ground) -> Description {
        let (world_routes, targets, places) = (Vec::new(), Vec::new(), Vec::new());
        Description { format: FORMAT, spec, ground, world_routes, targets, places }
    }

    /// Reads the description in a folder; none if there is none.
    ///
    /// # Errors
    /// When it can't be read, or another version of midoform has written it.
    pub fn read(folder: &Folder) -> Result<Option<Description>> {
        let path = file_of(folder);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(at(&path)(error)),
        };
        let wrong = |why: String| LabError::Description { path: path.clone(), why };
        let description: Description =
            serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        match description.format {
            FORMAT => Ok(Some(description)),
            other => Err(wrong(format!("it has format {other}, and this midoform reads {FORMAT}"))),
        }
    }

    /// Writes it into a folder.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write(&self, folder: &Folder) -> Result<()> {
        let path = file_of(folder);
        replace_atomically(&path, |writer| {
            serde_json::to_writer_pretty(&mut *writer, self)?;
            writer.write_all(b"\n")
        })
        .map_err(at(&path))
    }

    /// Finds what people name: `TENANT/BRIDGE/ADDRESS`, `TENANT/PORT`, `world`, or `hostN`.
    ///
    /// # Errors
    /// When there is none; the error names those that there are.
    pub fn seat(&self, name: &str) -> Result<Seat<'_>> {
        if name == "world" {
            return Ok(Seat::World);
        }
        if let Some(number) = (1..=self.ground.hosts).find(|number| host_name(*number) == name) {
            return Ok(Seat::Host(number));
        }
        let has_name =
            |place: &&Place| place.name() == name || place.port_name().is_some_and(|port| port == name);
        self.places.iter().find(has_name).map(Seat::Place).ok_or_else(|| {
            const MOST: usize = 20;
            let places = self.places.iter().map(|place| place.port_name().unwrap_or_else(|| place.name()));
            let mut known: Vec<String> = ["world".to_owned()].into_iter().chain(places).collect();
            let others = known.len().saturating_sub(MOST);
            known.truncate(MOST);
            let more = if others > 0 { format!(" and {others} others") } else { String::new() };
            LabError::NoPlace { name: name.to_owned(), known: format!("{}{more}", known.join(", ")) }
        })
    }
}

fn file_of(folder: &Folder) -> PathBuf {
    folder.path().join("lab.json")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use super::*;

    fn sample() -> Description {
        let world = World {
            network: "world".to_owned(),
            provider: Ipv4Addr::new(198, 51, 100, 2),
            address: Ipv4Addr::new(198, 51, 100, 1),
            prefix: 24,
            vlan: None,
        };
        let ground = Ground {
            site: "seed".to_owned(),
            programs: None,
            datapath: Datapath::Userspace,
            hosts: 2,
            encapsulation: "geneve".to_owned(),
            underlay_mtu: 1558,
            world,
        };
        let place = Place {
            number: 1,
            tenant: "acme".to_owned(),
            bridge: "web".to_owned(),
            port: Some("web-1".to_owned()),
            address: Ipv4Addr::new(10, 0, 0, 5),
            prefix: 24,
            gateway: Ipv4Addr::new(10, 0, 0, 254),
            mac: "0a:00:00:00:00:05".to_owned(),
            mtu: 1450,
            host: 1,
            logical_port: "seed:acme/port/web-1".to_owned(),
            logical_switch: "seed:acme/bridge/web".to_owned(),
        };
        Description { places: vec![place], ..Description::new("examples/seed".into(), ground) }
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let all = tempfile::tempdir().unwrap();
        let folder = Folder::named(all.path(), "seed").unwrap();
        let _lock = folder.create().unwrap();
        assert_eq!(Description::read(&folder).unwrap(), None);
        sample().write(&folder).unwrap();
        assert_eq!(Description::read(&folder).unwrap(), Some(sample()));
        let text =
            std::fs::read_to_string(file_of(&folder)).unwrap().replace("\"format\": 1", "\"format\": 9");
        std::fs::write(file_of(&folder), text).unwrap();
        let error = Description::read(&folder).unwrap_err().to_string();
        assert!(error.contains("format 9") && error.contains("lab down"), "{error}");
    }

    #[test]
    fn places_are_found_by_each_of_their_names() {
        let lab = sample();
        for name in ["acme/web/10.0.0.5", "acme/web-1"] {
            assert_eq!(lab.seat(name).unwrap(), Seat::Place(&lab.places[0]));
        }
        assert_eq!(lab.seat("world").unwrap(), Seat::World);
        assert_eq!(lab.seat("host2").unwrap(), Seat::Host(2));
        let error = lab.seat("host3").unwrap_err().to_string();
        assert!(error.contains("world, acme/web-1"), "{error}");
    }
}
