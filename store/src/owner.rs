//! The owner of an attachment: one interface of one container.

use serde::{Deserialize, Serialize};

/// The container and interface that an attachment belongs to. They are unique on one host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// The name of the network configuration.
    pub network: String,
    /// The container's id.
    pub container: String,
    /// The interface in the container.
    pub interface: String,
}

impl std::fmt::Display for Owner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} of container {} (network {})", self.interface, self.container, self.network)
    }
}
