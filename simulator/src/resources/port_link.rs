//! Links between two ports (06-port-link).

use uuid::Uuid;

/// The body of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PortLink {
    pub(crate) peer: Option<Uuid>,
}

/// The Java model class that errors about bad bodies show.
pub(crate) const MODEL: &str = "Link";
