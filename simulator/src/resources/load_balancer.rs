//! Load balancers, without their pools and virtual IPs (not recorded; MidoNet's source).

use crate::schema::{Row, flag, link, uuid};

pub(crate) const TABLE: &[Row] = &[
    uuid("id").row(),
    // The router that names the load balancer; a body can't change it.
    uuid("routerId").row(),
    flag("adminStateUp", true).row(),
    link("uri", "/load_balancers/{id}"),
    link("router", "/routers/{routerId}"),
    link("pools", "/load_balancers/{id}/pools"),
    link("vips", "/load_balancers/{id}/vips"),
];
