//! Addresses that are for no host: one table of the ranges, and one function for each part that an address can play.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::diagnostic::{Code, Diagnostic};
use crate::source::{Span, Spanned};

/// A range of addresses that are for no host.
struct Special {
    network: Ipv4Net,
    name: &'static str,
    /// True if a resolver may listen there: on the host itself, or on a link.
    may_resolve: bool,
}

const fn special(first: [u8; 4], length: u8, name: &'static str, may_resolve: bool) -> Special {
    let [a, b, c, d] = first;
    Special { network: Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length), name, may_resolve }
}

/// The ranges, by RFC 6890. The last one holds the broadcast address.
const SPECIAL: [Special; 5] = [
    special([0, 0, 0, 0], 8, "\"this network\" (0.0.0.0/8)", false),
    special([127, 0, 0, 0], 8, "the host's own (127.0.0.0/8)", true),
    special([169, 254, 0, 0], 16, "link-local (169.254.0.0/16)", true),
    special([224, 0, 0, 0], 4, "multicast (224.0.0.0/4)", false),
    special([240, 0, 0, 0], 4, "reserved (240.0.0.0/4)", false),
];

/// Returns the name of a special range that a network has addresses of.
pub(crate) fn range_of(network: Ipv4Net) -> Option<&'static str> {
    let meets = |special: &&Special| special.network.contains(&network) || network.contains(&special.network);
    SPECIAL.iter().find(meets).map(|special| special.name)
}

/// Returns an error if a pool has addresses that are for no host.
pub(crate) fn of_pool(pool: &Spanned<Ipv4Net>) -> Option<Diagnostic> {
    let name = range_of(pool.value)?;
    let message = format!("the pool {pool} has addresses that are {name}: nothing can be reached there");
    let diagnostic = Diagnostic::error(Code::UnusableNetwork, pool.span, message);
    Some(diagnostic.help("use a private network, such as 172.16.0.0/16"))
}

/// Returns an error if an address, such as "the public address", is for no host.
pub(crate) fn of_host(what: &str, address: Ipv4Addr, span: Span) -> Option<Diagnostic> {
    let name = range_of(address.into())?;
    let message = format!("{what} {address} is {name}: no host can have it");
    Some(
        Diagnostic::error(Code::UnusableNetwork, span, message)
            .help("use an address that packets are routed to"),
    )
}

/// Returns an error if no name server can have an address.
pub(crate) fn of_name_server(address: &Spanned<Ipv4Addr>) -> Option<Diagnostic> {
    let special = SPECIAL.iter().find(|special| special.network.contains(&address.value));
    special.filter(|special| !special.may_resolve)?;
    of_host("the name server", address.value, address.span)
}
