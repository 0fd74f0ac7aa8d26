//! Links between two ports (06-port-link).

use uuid::Uuid;

/// What the body of a link says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PortLink {
    pub(crate) peer: Option<Uuid>,
}

/// The Java model class that bad bodies are blamed on.
pub(crate) const MODEL: &str = "Link";
