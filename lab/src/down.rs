//! Takes a laboratory away, and tells what it consists of at the moment.

use std::fs;
use std::time::Duration;

use serde::Serialize;

use crate::description::{Place, host_name};
use crate::error::{LabError, Result};
use crate::folder::Folder;
use crate::lab::{CENTRAL, CENTRAL_DAEMONS, Daemon, HOST_DAEMONS, Lab, owned};
use crate::namespace;
use crate::process::Process;

/// The time in which processes end when they are asked to.
const PATIENCE: Duration = Duration::from_secs(3);

/// What was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Deleted {
    /// Processes that were ended.
    pub processes: usize,
    /// Namespaces.
    pub namespaces: usize,
    /// True if there was a folder.
    pub folder: bool,
}

/// Deletes everything of a laboratory: its processes, its namespaces with all interfaces in them, its folder. It works without the
/// folder, too, and after a command that was killed.
///
/// # Errors
/// When something could not be deleted: the rest is, and the error names all of it.
pub fn down(folder: &Folder) -> Result<Deleted> {
    // The lock keeps an `up` away as long as there is a folder. It is released when the folder is gone.
    let lock = folder.exists().then(|| folder.lock()).transpose()?;
    let mut problems = Vec::new();
    let processes = owned(folder).processes().len();
    let left = owned(folder).end_all(PATIENCE);
    problems.extend(
        left.iter().map(|process| format!("process {} ({}) does not end", process.id, process.command)),
    );
    let names = namespace::with_prefix(folder.prefix());
    for name in &names {
        problems.extend(namespace::delete(name).err().map(|error| error.to_string()));
    }
    let had_folder = folder.exists();
    if let Err(error) = fs::remove_dir_all(folder.path())
        && had_folder
    {
        problems.push(format!("{}: {error}", folder.path().display()));
    }
    drop(lock);
    match problems.is_empty() {
        true => Ok(Deleted { processes, namespaces: names.len(), folder: had_folder }),
        false => Err(LabError::Left(problems)),
    }
}

/// Returns true if nothing is left of a laboratory.
pub fn is_gone(folder: &Folder) -> bool {
    !folder.exists()
        && namespace::with_prefix(folder.prefix()).is_empty()
        && owned(folder).processes().is_empty()
}

/// What a laboratory consists of at the moment.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub folder: String,
    /// The spec that it was made of.
    pub spec: String,
    /// The remote of its northbound database.
    pub northbound: String,
    /// The datapath.
    pub datapath: &'static str,
    /// The daemons.
    pub daemons: Vec<DaemonStatus>,
    /// Its other processes.
    pub processes: usize,
    /// The hosts that OVN knows.
    pub hosts: Vec<HostStatus>,
    /// The places.
    pub places: Vec<PlaceStatus>,
    /// The world's address beside the provider router.
    pub world: String,
    /// True if everything is there and runs.
    pub is_whole: bool,
}

/// One daemon.
#[derive(Clone, Debug, Serialize)]
pub struct DaemonStatus {
    /// Its part: `central`, or the host.
    pub part: String,
    /// Its program.
    pub program: &'static str,
    /// Its name in the part.
    pub name: &'static str,
    /// Its process, if it runs.
    pub process: Option<u32>,
}

/// One host.
#[derive(Clone, Debug, Serialize)]
pub struct HostStatus {
    /// Its name, and its chassis's.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// True if the namespace is there.
    pub exists: bool,
}

/// One place.
#[derive(Clone, Debug, Serialize)]
pub struct PlaceStatus {
    /// Its name.
    pub name: String,
    /// The name of its static port, if it has one.
    pub port: Option<String>,
    /// The name of its host.
    pub host: String,
    /// Its namespace.
    pub namespace: String,
    /// Its interface on the host.
    pub interface: String,
    /// Its MAC address.
    pub mac: String,
    /// The name of its port in OVN.
    pub logical_port: String,
    /// True if OVN has bound the port; none if OVN does not answer.
    pub is_up: Option<bool>,
}

impl Lab {
    /// Returns what the laboratory consists of at the moment.
    pub fn status(&self) -> Status {
        let described = &self.description;
        let hosts: Vec<String> = (1..=described.ground.hosts).map(host_name).collect();
        let central = CENTRAL_DAEMONS.iter().map(|daemon| (CENTRAL, daemon));
        let of_hosts =
            hosts.iter().flat_map(|host| HOST_DAEMONS.iter().map(move |daemon| (host.as_str(), daemon)));
        let daemons: Vec<DaemonStatus> =
            central.chain(of_hosts).map(|(part, daemon)| self.daemon_status(part, *daemon)).collect();
        let others: Vec<Process> = self.owned().processes();
        let running: Vec<u32> = daemons.iter().filter_map(|daemon| daemon.process).collect();
        let processes = others.iter().filter(|process| !running.contains(&process.id)).count();
        let has_database = daemons.first().is_some_and(|daemon| daemon.process.is_some());
        let ports = has_database.then(|| self.logical_ports().ok()).flatten();
        let is_up = |place: &Place| {
            let ports = ports.as_ref()?;
            Some(ports.iter().any(|(name, is_up)| *is_up && *name == place.logical_port))
        };
        let places: Vec<PlaceStatus> =
            described.places.iter().map(|place| self.place_status(place, is_up(place))).collect();
        let hosts: Vec<HostStatus> = hosts.into_iter().map(|name| self.host_status(name)).collect();
        let is_whole = running.len() == daemons.len()
            && places.iter().all(|place| place.is_up == Some(true))
            && hosts.iter().all(|host| host.exists);
        Status {
            name: self.folder.name().to_owned(),
            folder: self.folder.path().display().to_string(),
            spec: described.spec.display().to_string(),
            northbound: self.northbound(),
            datapath: described.ground.datapath.name(),
            daemons,
            processes,
            hosts,
            places,
            world: described.ground.world.address.to_string(),
            is_whole,
        }
    }

    fn daemon_status(&self, part: &str, daemon: Daemon) -> DaemonStatus {
        let process = self.running(daemon, part);
        DaemonStatus { part: part.to_owned(), program: daemon.program, name: daemon.name, process }
    }

    fn host_status(&self, name: String) -> HostStatus {
        let namespace = self.folder.namespace(&name);
        let exists = namespace::exists(&namespace);
        HostStatus { name, namespace, exists }
    }

    fn place_status(&self, place: &Place, is_up: Option<bool>) -> PlaceStatus {
        PlaceStatus {
            name: place.name(),
            port: place.port_name(),
            host: host_name(place.host),
            namespace: self.folder.namespace(&place.host_interface()),
            interface: place.host_interface(),
            mac: place.mac.clone(),
            logical_port: place.logical_port.clone(),
            is_up,
        }
    }
}
