//! The codes of the checker's findings.

crate::named_codes! {
    /// The kind of a fault of a plan. Its name is stable.
    pub enum Code {
        /// A field is no IPv4 address.
        BadAddress => "bad-address",
        /// A body is no JSON object.
        BadBody => "bad-body",
        /// A rule matches ports in later fragments.
        BadFragments => "bad-fragments",
        /// An id is no UUID.
        BadId => "bad-id",
        /// The API has no such method for the path, or not with such a body.
        BadMethod => "bad-method",
        /// A number is out of range.
        BadNumber => "bad-number",
        /// The API has no such path for the method.
        BadPath => "bad-path",
        /// A rule's ports are no list.
        BadPorts => "bad-ports",
        /// A rule's position is past the end of its chain.
        BadPosition => "bad-position",
        /// A field is no range of ports.
        BadRange => "bad-range",
        /// A field is not one of the words that the API takes.
        BadWord => "bad-word",
        /// A port is bound twice.
        BoundTwice => "bound-twice",
        /// A step that keeps its object has calls.
        CallsToKeep => "calls-to-keep",
        /// An object is made with the id of another.
        DuplicateId => "duplicate-id",
        /// An object has two steps of one action.
        DuplicateStep => "duplicate-step",
        /// A body has a field that it must not have.
        ForbiddenField => "forbidden-field",
        /// A route's next hop port belongs to another router.
        ForeignPort => "foreign-port",
        /// Two ports are bound to one interface.
        InterfaceTaken => "interface-taken",
        /// A member joins its group twice.
        JoinedTwice => "joined-twice",
        /// A step needs a later one.
        LateNeed => "late-need",
        /// A port is linked and bound.
        LinkedAndBound => "linked-and-bound",
        /// A port is linked to itself.
        LinkedToItself => "linked-to-itself",
        /// A port is linked twice.
        LinkedTwice => "linked-twice",
        /// A body has the wrong media type.
        MediaType => "media-type",
        /// A body lacks a field.
        MissingField => "missing-field",
        /// A change has no calls.
        NoCalls => "no-calls",
        /// An object has no id that later calls could name.
        NoId => "no-id",
        /// A translation has no targets.
        NoNatTargets => "no-nat-targets",
        /// A normal route has no next hop port.
        NoPort => "no-port",
        /// A change can not be taken back.
        NoUndo => "no-undo",
        /// An object is deleted while another needs it.
        StillUsed => "still-used",
        /// The calls are in none of MidoNet's dialects.
        UnknownDialect => "unknown-dialect",
        /// A step needs an object that has no step.
        UnknownNeed => "unknown-need",
        /// A call refers to an object that is not there.
        UnknownReference => "unknown-reference",
    }
}

crate::plan::structure::codes_of_faults!(Code: CallsToKeep, DuplicateStep, LateNeed, NoCalls, NoUndo, UnknownNeed);
