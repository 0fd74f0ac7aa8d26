//! The allocations that a command starts from.

use midoform_compiler::Allocated;
use midoform_compiler::diagnostic::Diagnostics;
use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::network::lock_file;
use midoform_compiler::source::{Source, SourceId};

/// The allocations that a command starts from.
#[derive(Clone, Debug)]
pub(crate) enum Known {
    /// No allocations, or those on a server that was not read.
    Nothing,
    /// The lock file, as it was read.
    LockFile(Source),
    /// The allocations of a store, by its name, or those of a lock file that changed since it was read.
    Store { name: String, allocations: Allocations },
}

impl Known {
    /// Returns the allocations as the compiler takes them.
    pub(crate) fn input(&self) -> Allocated<'_> {
        match self {
            Known::Nothing => Allocated::Nothing,
            Known::LockFile(source) => Allocated::LockFile(source),
            Known::Store { name, allocations } => Allocated::Store { name, allocations },
        }
    }

    /// Returns the allocations; none if the lock file can't be read, for the reasons in the diagnostics.
    pub(crate) fn allocations(&self, diagnostics: &mut Diagnostics) -> Option<Allocations> {
        match self {
            Known::Nothing => Some(Allocations::default()),
            Known::LockFile(source) => {
                lock_file::parse(source, SourceId(1), diagnostics).map(|file| file.allocations)
            }
            Known::Store { allocations, .. } => Some(allocations.clone()),
        }
    }

    /// Replaces the allocations.
    pub(crate) fn replace(&mut self, allocations: Allocations) {
        let name = match self {
            Known::Nothing => "midoform.lock".to_owned(),
            Known::LockFile(source) => source.name.to_string(),
            Known::Store { name, .. } => std::mem::take(name),
        };
        *self = Known::Store { name, allocations };
    }
}
