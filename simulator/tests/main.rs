//! The simulator's tests from outside, in one binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that can't go on has failed"
)]

mod auth;
mod faults;
mod hostile;
mod invariants;
mod keystone;
mod observe;
mod replay;
mod unrecorded;

/// The type of a body for a path: plain JSON, where it does.
fn body_type(version: midoform_simulator::Version, path: &str) -> &'static str {
    if path.starts_with("/tunnel_zones/") {
        "application/vnd.org.midonet.TunnelZoneHost-v1+json"
    } else if version == midoform_simulator::Version::V1_7
        && path.ends_with("/ports")
        && (path.starts_with("/routers/") || path.starts_with("/bridges/"))
    {
        "application/vnd.org.midonet.Port-v2+json"
    } else {
        "application/json"
    }
}

/// A client that takes things as they come.
fn client() -> reqwest::Client {
    // Another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().build().unwrap()
}
