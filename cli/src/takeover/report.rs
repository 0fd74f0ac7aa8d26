//! The text of the tenant file, and the report of an adoption.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use midoform_adopt::{Attached, Leftover, Pod};
use midoform_compiler::printable::printable;
use midoform_compiler::topology::key::Key;
use midoform_compiler::topology::observed::Observed;
use serde::Serialize;
use uuid::Uuid;

use super::adoption::Drafted;
use crate::drift_report::Difference;
use crate::error::CommandError;
use crate::ui::Ui;

/// The report for machines.
#[derive(Serialize)]
struct Report<'a> {
    tenant: &'a str,
    router: Uuid,
    /// The tenant file.
    file: String,
    written: bool,
    /// The number of objects that the spec describes.
    objects: usize,
    /// The ids that were bound, by key.
    ids: &'a BTreeMap<Key, Uuid>,
    attached: &'a [Attached],
    #[serde(skip_serializing_if = "<[Pod]>::is_empty")]
    pods: &'a [Pod],
    /// The changes of the next apply.
    differences: &'a [Difference],
    leftovers: &'a [Leftover],
    unsaid: &'a [String],
}

/// An adoption, to be reported.
pub(super) struct Adopted<'a> {
    pub(super) drafted: &'a Drafted,
    /// The tenant's objects.
    pub(super) observed: &'a Observed,
    /// The changes of the next apply.
    pub(super) differences: &'a [Difference],
    /// The ids that are bound, by key.
    pub(super) ids: &'a BTreeMap<Key, Uuid>,
    /// The text of the tenant file.
    pub(super) text: &'a str,
    /// True if the tenant file was written.
    pub(super) is_written: bool,
    /// The name of the store in which the ids are bound; none if they are not.
    pub(super) store: Option<&'a str>,
}

/// Returns the text of the tenant file: the spec, with comments about all that it does not describe.
pub(super) fn file_text(drafted: &Drafted, observed: &Observed, is_bound: bool) -> String {
    let draft = &drafted.draft;
    let mut text = format!("# Written from the router {}, as it was found.\n", drafted.chosen.router);
    if !is_bound {
        text.push_str("# Its objects are not bound: an apply would create others beside them.\n");
    }
    text.push_str(&draft.spec);
    let foreign = observed.foreign.iter();
    let foreign = foreign.map(|foreign| format!("{} at {} ({})", foreign.what, foreign.near, foreign.id));
    let mut comments = draft.unsupported.iter().cloned().chain(foreign).peekable();
    if comments.peek().is_some() {
        text.push_str("\n# Not in this spec:\n");
    }
    for comment in comments {
        // Writing into a string can't fail.
        let _ = writeln!(text, "# - {}", printable(&comment));
    }
    text
}

impl Adopted<'_> {
    /// Reports the adoption, to people or as JSON.
    pub(super) fn report(&self, ui: &Ui, json: bool) -> Result<(), CommandError> {
        if json {
            return self.report_json(ui);
        }
        if !self.is_written {
            ui.data(|out| out.write_all(self.text.as_bytes()))?;
        }
        let Drafted { chosen, draft, path } = self.drafted;
        ui.status(&format!(
            "{}: router {}, {} objects in the spec, {} attached ports, which stay as they are",
            chosen.tenant,
            chosen.router,
            self.observed.topology.len(),
            draft.attached.len()
        ));
        for leftover in &draft.leftovers {
            ui.status(&format!("left over, not adopted: {} ({})", printable(&leftover.what), leftover.id));
        }
        for unsaid in &draft.unsupported {
            ui.status(&format!("not in the spec: {}", printable(unsaid)));
        }
        for foreign in &self.observed.foreign {
            ui.status(&format!(
                "not in the spec, left as it is: {} at {} ({})",
                foreign.what, foreign.near, foreign.id
            ));
        }
        for Difference { key, kind, is, what, .. } in self.differences {
            ui.notice(&format!("differs: {key} ({kind}) is {is}: {what}"));
        }
        if self.is_written {
            ui.status(&match self.store {
                Some(store) => format!("written: {store}, {}", path.display()),
                None => format!("written: {}; nothing was bound", path.display()),
            });
        }
        if self.differences.is_empty() {
            ui.status("The next plan is empty: the network matches the spec.");
        }
        Ok(())
    }

    fn report_json(&self, ui: &Ui) -> Result<(), CommandError> {
        let Drafted { chosen, draft, path } = self.drafted;
        let foreign = self.observed.foreign.iter();
        let foreign = foreign.map(|foreign| format!("{} at {}", foreign.what, foreign.near));
        let unsaid: Vec<String> = draft.unsupported.iter().cloned().chain(foreign).collect();
        ui.json(&Report {
            tenant: &chosen.tenant,
            router: chosen.router,
            file: path.display().to_string(),
            written: self.is_written,
            objects: self.observed.topology.len(),
            ids: self.ids,
            attached: &draft.attached,
            pods: &chosen.pods,
            differences: self.differences,
            leftovers: &draft.leftovers,
            unsaid: &unsaid,
        })
    }
}
