//! A saved plan: the plan and what is needed to apply exactly it later.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::Path;

use midoform_compiler::names::TenantName;
use midoform_compiler::network::allocation::Allocations;
use midoform_compiler::network::moved::Moves;
use midoform_compiler::ovn::lower::pod::BridgeSecurity;
use midoform_compiler::plan::{FORMAT, Plan};
use midoform_compiler::printable::printable;
use midoform_compiler::topology::Topology;
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::kinds::Reference;
use midoform_compiler::values::MacAddress;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use midoform_store::publication::Publication;

use crate::recorder::Extent;

/// The version of the file that this program writes and reads.
const SAVED_FORMAT: &str = "midoform-saved-plan/6";

/// The file of `plan --out`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedPlan {
    /// The version of the file.
    pub format: String,
    /// SHA-256 of the whole file: of its JSON in one line, with an empty text as this field.
    pub sha256: String,
    /// The plan.
    pub plan: Plan,
    /// The objects after the plan.
    pub desired: Topology,
    /// The objects before the plan, which an undo restores.
    pub before: Topology,
    /// The tenants of the plan.
    pub tenants: BTreeSet<TenantName>,
    /// How much of its tenants the plan is about: with a part, it says nothing about objects that none of its steps names.
    #[serde(default = "whole", skip_serializing_if = "is_whole")]
    pub extent: Extent,
    /// The provider router.
    pub provider: Reference,
    /// The renamed objects.
    #[serde(default)]
    pub moves: Moves,
    /// True if the plan deletes the foreign rules and routes in its tenants' chains and routers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removes_foreign: bool,
    /// The address and the MAC address behind each static port, for traces: no object of MidoNet has them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub behind: BTreeMap<Key, (Ipv4Addr, MacAddress)>,
    /// OVN: what decides about the port security of the pods of each bridge, for traces: the rows of pods are no part of a plan.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pod_security: BTreeMap<Key, BridgeSecurity>,
    /// The API's base URL; none for the embedded API.
    pub url: Option<String>,
    /// The site file's text, which names the store of the allocations.
    pub site_file: String,
    /// The publication of the tenants, if the site has a store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<Pods>,
    /// All allocations when the plan was made.
    pub allocated_before: Allocations,
    /// All allocations once it is applied.
    pub allocated_after: Allocations,
}

const fn whole() -> Extent {
    Extent::Whole
}

fn is_whole(extent: &Extent) -> bool {
    *extent == Extent::Whole
}

/// The versions that a saved plan names.
#[derive(Deserialize)]
struct Versions {
    format: String,
    plan: PlanVersion,
}

/// The version of the plan inside.
#[derive(Deserialize)]
struct PlanVersion {
    format: String,
}

/// The publication of a plan's tenants.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pods {
    /// The publication before the plan.
    pub before: Publication,
    /// The publication after the plan.
    pub after: Publication,
}

/// The reason why a saved plan can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SavedPlanError {
    /// The file can't be read or written.
    #[error("the saved plan {path} can't be read or written")]
    File {
        /// The file.
        path: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file is no saved plan, or a damaged one.
    #[error("{path} can't be used as a saved plan: {cause}")]
    Content {
        /// The file.
        path: String,
        /// The problem.
        cause: String,
    },
}

/// Hashes what is written.
struct Hash(Sha256);

impl Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SavedPlan {
    /// Returns the objects of a topology that the plan is about.
    pub fn part_of<'t>(&self, topology: &'t Topology) -> Cow<'t, Topology> {
        match self.extent {
            Extent::Whole => Cow::Borrowed(topology),
            Extent::Part(_) => {
                let named: BTreeSet<&Key> = self.plan.steps.iter().map(|step| &step.key).collect();
                Cow::Owned(topology.filtered(|entry| named.contains(&entry.key)))
            }
        }
    }

    /// Returns a saved plan that contains this plan.
    pub fn new(
        plan: Plan,
        desired: Topology,
        before: Topology,
        tenants: BTreeSet<TenantName>,
        provider: Reference,
    ) -> Self {
        SavedPlan {
            format: SAVED_FORMAT.to_owned(),
            sha256: String::new(),
            plan,
            desired,
            before,
            tenants,
            extent: Extent::Whole,
            provider,
            moves: Moves::default(),
            removes_foreign: false,
            behind: BTreeMap::new(),
            pod_security: BTreeMap::new(),
            url: None,
            site_file: String::new(),
            pods: None,
            allocated_before: Allocations::default(),
            allocated_after: Allocations::default(),
        }
    }

    /// Sets the SHA-256, and writes the file: first a temporary one beside it, then renames it, so that a full disk
    /// leaves no incomplete file.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn write(&mut self, path: &Path) -> Result<(), SavedPlanError> {
        let named = |source| SavedPlanError::File { path: path.display().to_string(), source };
        self.sha256 = String::new();
        self.sha256 = self.digest().map_err(named)?;
        midoform_store::atomic_file::write_atomically(path, |file| {
            serde_json::to_writer(&mut *file, self)?;
            file.write_all(b"\n")
        })
        .map_err(named)
    }

    /// Reads a saved plan, and checks that it is unchanged.
    ///
    /// # Errors
    /// When the file can't be read, is no saved plan, or was changed.
    pub fn read(path: &Path) -> Result<SavedPlan, SavedPlanError> {
        let shown = path.display().to_string();
        let text = midoform_store::input_file::read_to_string(path)
            .map_err(|source| SavedPlanError::File { path: shown.clone(), source })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let wrong = |cause: String| SavedPlanError::Content { path: shown.clone(), cause };
        // The format comes first: a plan of another version may lack fields of this one.
        let Versions { format, plan } =
            serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        if format != SAVED_FORMAT || plan.format != FORMAT {
            return Err(wrong(format!("its format is {format}, but this midoform needs {SAVED_FORMAT}")));
        }
        let mut saved: SavedPlan = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        let written = std::mem::take(&mut saved.sha256);
        saved.sha256 = saved.digest().map_err(|error| wrong(error.to_string()))?;
        if saved.sha256 != written {
            return Err(wrong("its content does not have the SHA-256 in it: it was changed".to_owned()));
        }
        let known = serde_json::to_vec(&saved).map_err(|error| wrong(error.to_string()))?;
        if let Some(at) = first_difference(text, &known) {
            return Err(wrong(unknown_at(text, at)));
        }
        Ok(saved)
    }

    /// Returns the SHA-256 of everything in the file: the plan, and what decides where and how it is applied.
    fn digest(&self) -> io::Result<String> {
        let mut hash = Hash(Sha256::new());
        serde_json::to_writer(&mut hash, self)?;
        Ok(hex::encode(hash.0.finalize()))
    }
}

/// Returns the position at which a JSON text differs from the one that midoform writes, besides its white space.
fn first_difference(text: &str, written: &[u8]) -> Option<usize> {
    let mut written = written.iter();
    let (mut is_text, mut is_escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        if !is_text && byte.is_ascii_whitespace() {
            continue;
        }
        if written.next() != Some(&byte) {
            return Some(at);
        }
        is_text = if byte == b'"' && !is_escaped { !is_text } else { is_text };
        is_escaped = is_text && byte == b'\\' && !is_escaped;
    }
    written.next().map(|_| text.len())
}

/// Describes what midoform does not know at a position.
fn unknown_at(text: &str, at: usize) -> String {
    const WORDS: usize = 60;
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let key = before.rfind('"').filter(|start| !before[*start..].contains([',', ':', '{', '}', '[', ']']));
    let from = key.unwrap_or(before.len());
    let words: String =
        text.get(from..).unwrap_or_default().trim_start_matches(',').chars().take(WORDS).collect();
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!(
        "it has what no saved plan has, at line {line}, column {column}: `{}`: plan again",
        printable(words.trim_start())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_is_no_difference() {
        let written = br#"{"a":"x \\\" y","b":[1,2]}"#;
        assert_eq!(first_difference("{ \"a\" : \"x \\\\\\\" y\",\n\"b\":[1,\t2]}\n", written), None);
        let more = r#"{"a":"x \\\" y","b":[1,2],"c":3}"#;
        let at = first_difference(more, written).unwrap();
        assert!(unknown_at(more, at).contains("column 26: `\"c\":3}`"), "{}", unknown_at(more, at));
        assert!(first_difference(r#"{"a":"x  \\\" y","b":[1,2]}"#, written).is_some());
        assert!(first_difference("{", written).is_some());
    }
}
