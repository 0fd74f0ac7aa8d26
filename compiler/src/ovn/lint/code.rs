//! The codes of the checker's findings.

crate::named_codes! {
    /// The kind of a fault of a row. Its name is stable.
    pub enum Code {
        /// A match can't be parsed.
        BadMatch => "bad-match",
        /// A value does not fit its column.
        BadValue => "bad-value",
        /// A step that keeps its row has operations.
        CallsToKeep => "calls-to-keep",
        /// Two rows have one id.
        DuplicateId => "duplicate-id",
        /// Two rows have one name where OVN wants different ones.
        DuplicateName => "duplicate-name",
        /// A row has two steps of one action.
        DuplicateStep => "duplicate-step",
        /// A row that another one has to hold stands alone, or the other way round.
        Holder => "holder",
        /// A step needs a later one.
        LateNeed => "late-need",
        /// A required column is missing.
        MissingColumn => "missing-column",
        /// A change has no operations.
        NoCalls => "no-calls",
        /// A row's key or site is not in its external ids.
        NoKey => "no-key",
        /// A change can not be taken back.
        NoUndo => "no-undo",
        /// Two rows of one list have the same priority and different actions.
        SamePriority => "same-priority",
        /// A column is not one of those that midoform writes.
        UnknownColumn => "unknown-column",
        /// A step needs a row that has no step.
        UnknownNeed => "unknown-need",
        /// A name refers to no row.
        UnknownName => "unknown-name",
        /// A reference has no row of the right table.
        UnknownReference => "unknown-reference",
    }
}

crate::plan::structure::codes_of_faults!(Code: CallsToKeep, DuplicateStep, LateNeed, NoCalls, NoUndo, UnknownNeed);
