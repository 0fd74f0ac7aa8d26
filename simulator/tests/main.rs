//! The simulator's tests from outside, in one binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that can't go on has failed"
)]

mod agent;
mod attached;
mod auth;
mod faults;
mod hostile;
mod invariants;
mod keystone;
mod observe;
mod port_records;
mod replay;
mod session;
mod unrecorded;

/// Returns the media type of a body for a path: plain JSON where the API accepts it.
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

/// Returns an HTTP client with default settings.
fn client() -> reqwest::Client {
    // It fails if another test has installed the provider already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().build().unwrap()
}
