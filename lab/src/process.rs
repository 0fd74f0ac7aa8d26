//! The processes of a laboratory: all that have its folder in their environment, and all in one of its namespaces.
//!
//! A process is never killed by a bare number, which may be another process's by then: it is opened first (`pidfd_open`), then looked
//! at, and then killed through what was opened.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::folder::MARK;

/// What makes a process one of a laboratory.
pub(crate) struct Owned<'a> {
    /// The laboratory's folder.
    pub(crate) folder: &'a Path,
    /// The numbers of its namespaces.
    pub(crate) namespaces: BTreeSet<u64>,
}

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its number.
    pub(crate) id: u32,
    /// Its command, without its arguments.
    pub(crate) command: String,
}

impl Owned<'_> {
    fn has(&self, id: u32) -> bool {
        self.has_mark(id) || self.is_inside(id)
    }

    fn has_mark(&self, id: u32) -> bool {
        let wanted = [MARK.as_bytes(), b"=", self.folder.as_os_str().as_bytes()].concat();
        let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == wanted)
    }

    fn is_inside(&self, id: u32) -> bool {
        // Of a process that has ended and waits for its parent, nothing can be read.
        fs::metadata(format!("/proc/{id}/ns/net")).is_ok_and(|found| self.namespaces.contains(&found.ino()))
    }

    /// Returns the processes, but for this one.
    pub(crate) fn processes(&self) -> Vec<Process> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let own = std::process::id();
        let owned = ids.filter(|id| *id != own && self.has(*id));
        owned.map(|id| Process { id, command: command_of(id) }).collect()
    }

    /// Ends all processes: asks them first, and then kills them. Returns those that are left.
    pub(crate) fn end_all(&self, patience: Duration) -> Vec<Process> {
        let start = Instant::now();
        let mut asked = BTreeSet::new();
        loop {
            let left = self.processes();
            let waited = start.elapsed();
            if left.is_empty() || waited > 4 * patience {
                return left;
            }
            for process in &left {
                // A process that was started in between is asked as well.
                if waited > patience {
                    self.signal(process.id, Signal::KILL);
                } else if asked.insert(process.id) {
                    self.signal(process.id, Signal::TERM);
                }
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn signal(&self, id: u32, signal: Signal) {
        let open = |id: u32| -> Option<OwnedFd> {
            pidfd_open(Pid::from_raw(i32::try_from(id).ok()?)?, PidfdFlags::empty()).ok()
        };
        // If it has ended meanwhile, there is nothing to end.
        if let Some(process) = open(id).filter(|_| self.has(id)) {
            let _ = pidfd_send_signal(process, signal);
        }
    }
}

/// Returns a process's program, as its first argument names it.
fn command_of(id: u32) -> String {
    let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    let mut words = line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
    let first = words.next().unwrap_or_default();
    // The loader of an unpacked distribution names the program behind `--argv0`.
    let named = words.skip_while(|word| word != "--argv0").nth(1);
    let program = named.unwrap_or(first);
    program.rsplit('/').next().unwrap_or(&program).to_owned()
}

/// Returns the process that a file of a daemon names, if it runs and is one of the laboratory.
pub(crate) fn running(file: &Path, owned: &Owned<'_>) -> Option<u32> {
    let id: u32 = fs::read_to_string(file).ok()?.trim().parse().ok()?;
    let line = fs::read(format!("/proc/{id}/cmdline")).ok()?;
    let names_it = line.windows(file.as_os_str().len()).any(|part| part == file.as_os_str().as_bytes());
    (names_it && owned.has_mark(id)).then_some(id)
}
