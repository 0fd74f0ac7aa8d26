//! Bindings of a port to a host's interface (13-host-binding).

use crate::schema::{Row, link, text, uuid};

pub(crate) const TABLE: &[Row] = &[
    uuid("id").hidden().row(),
    uuid("hostId").row(),
    uuid("portId").row(),
    // 5.x accepts a binding without an interface (step 16).
    text("interfaceName").row(),
    link("host", "/hosts/{hostId}"),
    link("port", "/ports/{portId}"),
    link("uri", "/hosts/{hostId}/ports/{portId}"),
];
