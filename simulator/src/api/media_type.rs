//! Media types: those that a resource has, the one that a response gets, and those that a body may have.
//!
//! 5.x reads the whole `Accept` header as one type (16-lists, steps 12 to 19 and 22); 1.7 reads a list with weights.
//! Some sub-resources of 5.x, which do not use its generic code, read a list as well.

use crate::failure::Failure;
use crate::schema::Kind;
use crate::version::{Negotiation, Version};

/// Plain JSON.
pub(crate) const JSON: &str = "application/json";

/// A media type that a resource has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) name: String,
    pub(crate) older: bool,
}

/// The purpose of a media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A response with one object.
    One,
    /// A response with a collection.
    Many,
    /// A request's body.
    Body,
}

/// The revisions of a kind's media type, and the purposes for which plain JSON is allowed as well.
struct Revisions {
    name: &'static str,
    /// The revisions of the older representation, which 1.7 lists first (16-lists, step 22: `*/*` gets Router-v1).
    older: &'static [u8],
    current: &'static [u8],
    json: &'static [Purpose],
    /// True if plain JSON has the older representation (the README, for 1.7).
    json_older: bool,
    /// A second name of the same type.
    alias: Option<&'static str>,
}

const EVERYWHERE: &[Purpose] = &[Purpose::One, Purpose::Many, Purpose::Body];
/// The purposes other than a list.
const SINGLE: &[Purpose] = &[Purpose::One, Purpose::Body];

const fn revisions(name: &'static str, current: &'static [u8]) -> Revisions {
    Revisions { name, older: &[], current, json: EVERYWHERE, json_older: false, alias: None }
}

fn revisions_of(kind: Kind, version: Version) -> Revisions {
    let is_1x = version.traits().is_1x;
    let older = |name, older, current| Revisions { older, json_older: true, ..revisions(name, current) };
    match kind {
        Kind::Router if is_1x => older("Router", &[1], &[2]),
        Kind::Bridge if is_1x => revisions("Bridge", &[1, 2]),
        Kind::Port if is_1x => older("Port", &[1], &[2]),
        Kind::Rule if is_1x => revisions("Rule", &[1, 2]),
        Kind::Host if is_1x => revisions("Host", &[2, 3]),
        Kind::Router => revisions("Router", &[3]),
        Kind::Bridge => revisions("Bridge", &[4]),
        Kind::Port => revisions("Port", &[3]),
        Kind::Rule => revisions("Rule", &[2]),
        Kind::Host => revisions("Host", &[3]),
        Kind::Route => revisions("Route", &[1]),
        Kind::Chain => revisions("Chain", &[1]),
        Kind::TunnelZone => revisions("TunnelZone", &[1]),
        // Hosts of tunnel zones, lists of bindings, and a single port group are not available as plain JSON (not
        // recorded; MidoNet's declarations).
        Kind::TunnelZoneHost => {
            Revisions { json: &[], alias: Some("GreTunnelZoneHost"), ..revisions("TunnelZoneHost", &[1]) }
        }
        Kind::PortGroup => {
            Revisions { json: &[Purpose::Many, Purpose::Body], ..revisions("PortGroup", &[1]) }
        }
        Kind::PortGroupPort => revisions("PortGroupPort", &[1]),
        // Step 9 of 16-lists: no plain JSON.
        Kind::IpAddrGroup => Revisions { json: &[], ..revisions("IpAddrGroup", &[1]) },
        Kind::IpAddrGroupAddr => Revisions { json: &[], ..revisions("IpAddrGroupAddr", &[1]) },
        // The media types of load balancers, BGP and DHCP are not recorded; they are MidoNet's declarations. Lists of DHCP
        // subnets are not available as plain JSON.
        Kind::LoadBalancer => revisions("LoadBalancer", &[1]),
        Kind::BgpPeer => revisions("BgpPeer", &[1]),
        Kind::BgpNetwork => revisions("BgpNetwork", &[1]),
        Kind::Bgp => revisions("Bgp", &[1]),
        Kind::DhcpSubnet if is_1x => Revisions { json: SINGLE, ..older("DhcpSubnet", &[1], &[2]) },
        Kind::DhcpSubnet => Revisions { json: SINGLE, ..revisions("DhcpSubnet", &[2]) },
        Kind::DhcpSubnet6 => Revisions { json: SINGLE, ..revisions("DhcpV6Subnet", &[1]) },
        // The API does not show it.
        Kind::DeviceTable => Revisions { json: &[], ..revisions("DeviceTable", &[]) },
        Kind::HostInterfacePort => Revisions { json: SINGLE, ..revisions("HostInterfacePort", &[1]) },
    }
}

/// Returns the media types of a kind for a purpose.
pub(crate) fn offers(kind: Kind, version: Version, wanted: Purpose) -> Vec<Offer> {
    let revisions = revisions_of(kind, version);
    let infix = if wanted == Purpose::Many { "collection." } else { "" };
    let vendor = |name: &str, number: u8, older| Offer {
        name: format!("application/vnd.org.midonet.{infix}{name}-v{number}+json"),
        older,
    };
    let mut offers: Vec<Offer> =
        revisions.older.iter().map(|number| vendor(revisions.name, *number, true)).collect();
    for name in [Some(revisions.name), revisions.alias].into_iter().flatten() {
        offers.extend(revisions.current.iter().map(|number| vendor(name, *number, false)));
    }
    if revisions.json.contains(&wanted) {
        offers.push(Offer { name: JSON.to_owned(), older: revisions.json_older });
    }
    offers
}

/// Returns media types by their names, for a resource that is not a kind.
pub(crate) fn named(names: &[&str]) -> Vec<Offer> {
    names.iter().map(|name| Offer { name: (*name).to_owned(), older: false }).collect()
}

/// Chooses the media type of a response from the `Accept` header; 406 if none fits.
pub(crate) fn choose<'a>(
    how: Negotiation,
    accept: Option<&str>,
    offers: &'a [Offer],
) -> Result<&'a Offer, Failure> {
    let chosen = match how {
        Negotiation::Exact => exact(accept, offers),
        Negotiation::Weighed => weighed(accept, offers),
    };
    chosen.ok_or(Failure::StatusOnly(406))
}

fn exact<'a>(accept: Option<&str>, offers: &'a [Offer]) -> Option<&'a Offer> {
    let range = MediaRange::read(accept?)?;
    let fits = offers.iter().find(|offer| range.matches(&offer.name))?;
    // With a wildcard, these resources respond with plain JSON (16-lists, steps 12 and 22).
    Some(offers.iter().find(|offer| offer.name == JSON && range.matches(JSON)).unwrap_or(fits))
}

fn weighed<'a>(accept: Option<&str>, offers: &'a [Offer]) -> Option<&'a Offer> {
    let mut ranges: Vec<MediaRange<'_>> = match accept.map(str::trim) {
        None | Some("") => vec![MediaRange { main: "*", sub: "*", weight: 1000 }],
        Some(list) => list.split(',').filter_map(MediaRange::read).collect(),
    };
    // The highest weight first; with equal weights, the more specific type first.
    ranges.sort_by_key(|range| (std::cmp::Reverse(range.weight), range.main == "*", range.sub == "*"));
    ranges
        .iter()
        .filter(|range| range.weight > 0)
        .find_map(|range| offers.iter().find(|offer| range.matches(&offer.name)))
}

/// Tells whether a body has the older representation.
pub(crate) fn is_older(content_type: Option<&str>, offers: &[Offer]) -> bool {
    let range = content_type.and_then(MediaRange::read);
    offers
        .iter()
        .find(|offer| range.is_some_and(|range| range.matches(&offer.name)))
        .is_some_and(|offer| offer.older)
}

/// Checks the media type of a body. A generic resource of 5.x reads any JSON and then responds with 406; all others
/// respond with 415 (10-bad-input, steps 3 and 4).
pub(crate) fn check_body_type(
    generic: bool,
    content_type: Option<&str>,
    offers: &[Offer],
) -> Result<(), ContentTypeError> {
    let Some(range) = content_type.and_then(MediaRange::read) else {
        return Err(ContentTypeError::Unreadable);
    };
    if offers.iter().any(|offer| range.matches(&offer.name)) {
        Ok(())
    } else if generic && (range.matches(JSON) || range.sub.ends_with("+json")) {
        Err(ContentTypeError::WrongJson)
    } else {
        Err(ContentTypeError::Unreadable)
    }
}

/// The reason why a body's media type is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContentTypeError {
    /// A JSON type that the resource does not accept: 406, after the body was read.
    WrongJson,
    /// A type that can't be read: 415.
    Unreadable,
}

/// A media type, perhaps with wildcards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct MediaRange<'a> {
    main: &'a str,
    sub: &'a str,
    /// The weight in thousandths.
    weight: u32,
}

impl<'a> MediaRange<'a> {
    fn read(text: &'a str) -> Option<MediaRange<'a>> {
        let mut parts = text.split(';');
        let (main, sub) = parts.next()?.trim().split_once('/')?;
        let token = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+*".contains(&byte))
        };
        let weight =
            parts.find_map(|part| part.trim().strip_prefix("q=")).map_or(Some(1.0), |q| q.parse().ok())?;
        let weight: f64 = weight;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "kept within 0 and 1 first"
        )]
        let weight = (weight.clamp(0.0, 1.0) * 1000.0) as u32;
        (token(main) && token(sub)).then_some(MediaRange { main, sub, weight })
    }

    fn matches(&self, name: &str) -> bool {
        let Some((main, sub)) = name.split_once('/') else { return false };
        (self.main == "*" || self.main.eq_ignore_ascii_case(main))
            && (self.sub == "*" || self.sub.eq_ignore_ascii_case(sub))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pick(version: Version, accept: &str) -> Option<String> {
        let offers = offers(Kind::Router, version, Purpose::Many);
        choose(version.traits().negotiation, Some(accept), &offers).ok().map(|offer| offer.name.clone())
    }

    #[test]
    fn accept_is_read_as_16_lists_shows() {
        let both = "application/vnd.org.midonet.collection.Router-v3+json, application/json";
        assert_eq!(pick(Version::V5_8, both), None);
        assert_eq!(pick(Version::V1_7, both).as_deref(), Some(JSON));
        assert_eq!(pick(Version::V5_8, "*/*").as_deref(), Some(JSON));
        let oldest = "application/vnd.org.midonet.collection.Router-v1+json";
        assert_eq!(pick(Version::V1_7, "*/*").as_deref(), Some(oldest));
        assert_eq!(pick(Version::V5_0, "application/json;q=0.9").as_deref(), Some(JSON));
        assert_eq!(pick(Version::V5_0, "application/vnd.org.midonet.Router-v3+json"), None);
        assert_eq!(pick(Version::V1_7, "application/json;q=0"), None);
        for nonsense in ["", "a", "a/", "a/b/c", "/", "application/json;q=x", "é/ü"] {
            assert_eq!(pick(Version::V5_8, nonsense), None, "{nonsense}");
        }
    }
}
