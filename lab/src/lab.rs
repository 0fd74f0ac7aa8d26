//! A laboratory: its programs, run with its own folders and sockets.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use crate::command::{run, run_with};
use crate::description::{Datapath, Description, Seat, host_name};
use crate::error::{LabError, Result, at};
use crate::folder::{Folder, MARK};
use crate::namespace;
use crate::process::{self, Owned};
use crate::programs::Programs;

/// A laboratory.
#[derive(Clone, Debug)]
pub struct Lab {
    /// Its folder.
    pub folder: Folder,
    /// What it consists of.
    pub description: Description,
    /// The programs that it runs.
    pub programs: Programs,
}

/// The folder of the processes that all hosts share.
pub(crate) const CENTRAL: &str = "central";

/// A daemon: its program, and the name of its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Daemon {
    pub(crate) program: &'static str,
    pub(crate) name: &'static str,
}

/// The daemons that all hosts share.
pub(crate) const CENTRAL_DAEMONS: [Daemon; 3] = [
    Daemon { program: "ovsdb-server", name: "nb" },
    Daemon { program: "ovsdb-server", name: "sb" },
    Daemon { program: "ovn-northd", name: "northd" },
];
/// The daemons of a host.
pub(crate) const HOST_DAEMONS: [Daemon; 3] = [
    Daemon { program: "ovsdb-server", name: "db" },
    Daemon { program: "ovs-vswitchd", name: "vswitchd" },
    Daemon { program: "ovn-controller", name: "controller" },
];

impl Lab {
    /// Returns the laboratory in a folder; none if there is none.
    ///
    /// # Errors
    /// When its description can't be read, or its programs are gone.
    pub fn open(folder: Folder) -> Result<Option<Lab>> {
        let Some(description) = Description::read(&folder)? else { return Ok(None) };
        let programs = Programs::find(description.ground.programs.as_deref())?;
        Ok(Some(Lab { folder, description, programs }))
    }

    /// Returns the remote of the northbound database.
    pub fn northbound(&self) -> String {
        northbound(&self.folder)
    }

    /// Returns the remote of the southbound database.
    pub(crate) fn southbound(&self) -> String {
        format!("unix:{}", self.part(CENTRAL).join("sb.sock").display())
    }

    /// Returns the remote of a host's own database.
    pub(crate) fn local(&self, host: u8) -> String {
        format!("unix:{}", self.part(&host_name(host)).join("db.sock").display())
    }

    /// Returns the folder of a host, or of what the hosts share.
    pub(crate) fn part(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns true if the packets are forwarded in the process of Open vSwitch.
    pub(crate) fn is_userspace(&self) -> bool {
        self.description.ground.datapath == Datapath::Userspace
    }

    /// Returns what makes a process one of this laboratory.
    pub(crate) fn owned(&self) -> Owned<'_> {
        owned(&self.folder)
    }

    /// Returns a program's command, whose process can be found again.
    pub(crate) fn command(&self, program: &str, part: &str) -> Command {
        let mut command = self.programs.command(program);
        command.env(MARK, self.folder.path());
        for variable in ["OVS_RUNDIR", "OVN_RUNDIR", "OVS_LOGDIR", "OVN_LOGDIR", "OVS_DBDIR", "OVN_DBDIR"] {
            command.env(variable, self.part(part));
        }
        command
    }

    /// Sets the environment in which people use the programs of OVN on this laboratory.
    ///
    /// # Errors
    /// When the folder of the programs can't be written.
    fn equip(&self, command: &mut Command, part: &str) -> Result<()> {
        let programs = self.folder.path().join("bin");
        if !programs.is_dir() {
            self.programs.write_folder(&programs)?;
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = [programs].into_iter().chain(std::env::split_paths(&path));
        if let Ok(path) = std::env::join_paths(folders) {
            command.env("PATH", path);
        }
        command.env(MARK, self.folder.path());
        command.env("OVN_NB_DB", self.northbound()).env("OVN_SB_DB", self.southbound());
        for variable in ["OVS_RUNDIR", "OVN_RUNDIR"] {
            command.env(variable, self.part(part));
        }
        Ok(())
    }

    /// Becomes a command in a namespace of the laboratory. Returns only if that fails.
    pub fn exec(&self, seat: Seat<'_>, program: &OsStr, arguments: &[OsString]) -> LabError {
        let mut command = Command::new(program);
        command.args(arguments);
        let part = match seat {
            Seat::Host(number) => host_name(number),
            Seat::Place(_) | Seat::World => CENTRAL.to_owned(),
        };
        let entered =
            self.equip(&mut command, &part).and_then(|()| namespace::enter(&seat.namespace(&self.folder)));
        match entered {
            Ok(()) => {
                let source = command.exec();
                LabError::File { path: program.into(), source }
            }
            Err(error) => error,
        }
    }

    /// Asks `ovn-trace` what happens to a packet.
    ///
    /// # Errors
    /// When it can't be asked, or refuses the packet.
    pub fn ovn_trace(&self, datapath: &str, packet: &str) -> Result<String> {
        let mut command = self.command("ovn-trace", CENTRAL);
        // Each pass through connection tracking begins a connection.
        command.arg(format!("--db={}", self.southbound())).args(["--ct=new,trk"; 8]);
        run(command.args([datapath, packet]))
    }

    /// Starts a daemon in a namespace, if it does not run.
    pub(crate) fn daemon(&self, daemon: Daemon, part: &str, arguments: &[String]) -> Result<()> {
        if self.running(daemon, part).is_some() {
            return Ok(());
        }
        let file = |end: &str| self.part(part).join(format!("{}.{end}", daemon.name)).display().to_string();
        let mut command = self.command(daemon.program, part);
        command.args(arguments).args([
            format!("--pidfile={}", file("pid")),
            format!("--log-file={}", file("log")),
            format!("--unixctl={}", file("ctl")),
            "-vconsole:off".to_owned(),
            "-vsyslog:off".to_owned(),
            "--detach".to_owned(),
        ]);
        namespace::within(&self.folder.namespace(part), || run(&mut command)).map(drop)
    }

    /// Returns the process of a daemon, if it runs.
    pub(crate) fn running(&self, daemon: Daemon, part: &str) -> Option<u32> {
        process::running(&self.part(part).join(format!("{}.pid", daemon.name)), &self.owned())
    }

    /// Makes a database, if it is not there.
    pub(crate) fn database(&self, part: &str, name: &str, schema: &str) -> Result<PathBuf> {
        let folder = self.part(part);
        std::fs::create_dir_all(&folder).map_err(at(&folder))?;
        let file = folder.join(format!("{name}.db"));
        if !file.exists() {
            // A file that is made halfway is not taken for a database.
            let half = folder.join(format!("{name}.db.new"));
            let _ = std::fs::remove_file(&half);
            run(self.command("ovsdb-tool", part).arg("create").arg(&half).arg(self.programs.schema(schema)))?;
            std::fs::rename(&half, &file).map_err(at(&file))?;
        }
        Ok(file)
    }

    /// Makes a namespace, if it is not there.
    pub(crate) fn namespace(&self, of: &str) -> Result<String> {
        let name = self.folder.namespace(of);
        if !namespace::exists(&name) {
            namespace::delete(&name)?;
            run(self.command("ip", CENTRAL).args(["netns", "add", &name]))?;
            self.ip(&name, "link set lo up\n")?;
        }
        Ok(name)
    }

    /// Runs commands of iproute2 in a namespace, each in a line.
    pub(crate) fn ip(&self, namespace: &str, lines: &str) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        run_with(self.command("ip", CENTRAL).args(["-n", namespace, "-batch", "-"]), lines).map(drop)
    }

    /// Makes a veth pair, whose near end is in this namespace and up. What is left of one with this name is deleted first.
    pub(crate) fn pair(&self, namespace: &str, near: &str, far: &str) -> Result<()> {
        let name = near.split(' ').next().unwrap_or(near);
        if self.has_link(namespace, name) {
            self.ip(namespace, &format!("link del {name}\n"))?;
        }
        self.ip(namespace, &format!("link add {near} type veth {far}\nlink set {name} up\n"))
    }

    /// Returns the file that tells that a namespace was made completely.
    pub(crate) fn mark(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.path().join("made");
        std::fs::create_dir_all(&folder).map_err(at(&folder))?;
        Ok(folder.join(name))
    }

    /// Returns true if a namespace has an interface.
    pub(crate) fn has_link(&self, namespace: &str, interface: &str) -> bool {
        let mut command = self.command("ip", CENTRAL);
        run(command.args(["-n", namespace, "link", "show", "dev", interface])).is_ok()
    }

    /// Turns the offload of transmit checksums off: the userspace datapath does not fill them in.
    pub(crate) fn fill_in_checksums(&self, namespace: &str, interface: &str) -> Result<()> {
        if !self.is_userspace() {
            return Ok(());
        }
        let mut command = self.command("ethtool", CENTRAL);
        command.args(["-K", interface, "tx", "off"]);
        namespace::within(namespace, || run(&mut command)).map(drop)
    }

    /// Runs `ovs-vsctl` on a host's own database.
    pub(crate) fn vsctl(&self, host: u8, arguments: &[String]) -> Result<String> {
        let mut command = self.command("ovs-vsctl", &host_name(host));
        run(command.arg(format!("--db={}", self.local(host))).arg("--timeout=60").args(arguments))
    }

    /// Runs `ovn-nbctl`.
    pub(crate) fn nbctl(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.command("ovn-nbctl", CENTRAL);
        run(command.arg(format!("--db={}", self.northbound())).arg("--timeout=80").args(arguments))
    }
}

/// Returns the remote of the northbound database of the laboratory in a folder.
pub fn northbound(folder: &Folder) -> String {
    format!("unix:{}", folder.path().join(CENTRAL).join("nb.sock").display())
}

/// Returns what makes a process one of the laboratory in a folder.
pub(crate) fn owned(folder: &Folder) -> Owned<'_> {
    let names = namespace::with_prefix(folder.prefix());
    let namespaces = names.iter().filter_map(|name| namespace::number(name)).collect();
    Owned { folder: folder.path(), namespaces }
}
