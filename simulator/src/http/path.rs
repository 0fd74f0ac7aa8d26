//! Paths below the API's base, and query parameters.

use percent_encoding::percent_decode_str;

use crate::schema::Kind;
use crate::version::Version;

/// The resource that a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Root,
    Login,
    SystemState,
    Tenants,
    Tenant(String),
    /// A collection at the root.
    Collection(Kind),
    /// One object of a collection at the root.
    Object(Kind, String),
    /// The collection that belongs to an object: ports, routes, rules, hosts, members, addresses, bindings, BGP, DHCP
    /// subnets.
    ChildCollection(Kind, String, Kind),
    /// One object of such a collection, if it has no path at the root.
    Child(Kind, String, Kind, String),
    /// The peers of a device's ports.
    PeerPorts(Kind, String),
    /// A port's link.
    Link(String),
    /// The port groups of a port.
    GroupsOf(String),
    /// An address of an address group: the group, the IP version, the address.
    Address(String, String, String),
}

/// The collections at the root.
const COLLECTIONS: [Kind; 14] = [
    Kind::Router,
    Kind::Bridge,
    Kind::Port,
    Kind::Route,
    Kind::Chain,
    Kind::Rule,
    Kind::Host,
    Kind::TunnelZone,
    Kind::PortGroup,
    Kind::IpAddrGroup,
    Kind::LoadBalancer,
    Kind::BgpPeer,
    Kind::BgpNetwork,
    Kind::Bgp,
];

/// Reads a path below the base; none if no resource of the version has it. A slash at the end is ignored (16-lists, step
/// 23).
pub(crate) fn read(path: &str, version: Version) -> Option<Target> {
    let segments: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(decode).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let owned = |text: &str| text.to_owned();
    let [first, rest @ ..] = segments.as_slice() else { return Some(Target::Root) };
    match (*first, rest) {
        ("login", []) => return Some(Target::Login),
        ("system_state", []) => return Some(Target::SystemState),
        ("tenants", []) => return Some(Target::Tenants),
        ("tenants", [name]) => return Some(Target::Tenant(owned(name))),
        ("ip_addr_groups", [group, "versions", version, "ip_addrs", address]) => {
            return Some(Target::Address(owned(group), owned(version), owned(address)));
        }
        _ => {}
    }
    let kind = COLLECTIONS.into_iter().find(|kind| kind.path() == *first && kind.versions().has(version))?;
    match rest {
        [] => Some(Target::Collection(kind)),
        [id] => Some(Target::Object(kind, owned(id))),
        [id, below] => within(kind, id, below, version),
        [id, below, child] => match within(kind, id, below, version)? {
            Target::ChildCollection(parent, id, child_kind)
                if matches!(
                    child_kind,
                    Kind::HostInterfacePort
                        | Kind::TunnelZoneHost
                        | Kind::PortGroupPort
                        | Kind::DhcpSubnet
                        | Kind::DhcpSubnet6
                ) =>
            {
                Some(Target::Child(parent, id, child_kind, owned(child)))
            }
            _ => None,
        },
        _ => None,
    }
}

fn within(kind: Kind, id: &str, below: &str, version: Version) -> Option<Target> {
    let child = match (kind, below) {
        (Kind::Router | Kind::Bridge, "peer_ports") => return Some(Target::PeerPorts(kind, id.to_owned())),
        (Kind::Port, "link") => return Some(Target::Link(id.to_owned())),
        (Kind::Port, "port_groups") => return Some(Target::GroupsOf(id.to_owned())),
        (Kind::Router | Kind::Bridge, "ports") => Kind::Port,
        (Kind::Router, "routes") => Kind::Route,
        (Kind::Chain, "rules") => Kind::Rule,
        (Kind::Host, "ports") => Kind::HostInterfacePort,
        (Kind::TunnelZone, "hosts") => Kind::TunnelZoneHost,
        (Kind::PortGroup, "ports") => Kind::PortGroupPort,
        (Kind::IpAddrGroup, "ip_addrs") => Kind::IpAddrGroupAddr,
        (Kind::Router, "bgp_peers") => Kind::BgpPeer,
        (Kind::Router, "bgp_networks") => Kind::BgpNetwork,
        (Kind::Port, "bgps") => Kind::Bgp,
        (Kind::Bridge, "dhcp") => Kind::DhcpSubnet,
        (Kind::Bridge, "dhcpV6") => Kind::DhcpSubnet6,
        _ => return None,
    };
    child.versions().has(version).then(|| Target::ChildCollection(kind, id.to_owned(), child))
}

/// Decodes the percent escapes of a path segment; a percent sign that is not part of an escape stays.
pub(crate) fn decode(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

/// Returns the first value of a query parameter.
pub(crate) fn query(query: Option<&str>, name: &str) -> Option<String> {
    let mut parameters = form_urlencoded::parse(query?.as_bytes());
    parameters.find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read() {
        let read = |path: &str| read(path, Version::V5_8);
        assert_eq!(read("/"), Some(Target::Root));
        assert_eq!(read("/routers/x/"), Some(Target::Object(Kind::Router, "x".to_owned())));
        assert_eq!(
            read("/chains/x/rules"),
            Some(Target::ChildCollection(Kind::Chain, "x".to_owned(), Kind::Rule))
        );
        assert_eq!(read("/nowhere"), None);
        assert_eq!(read("/routers/x/rules"), None);
        assert_eq!(read("/routers/x/ports/y"), None);
    }

    #[test]
    fn a_path_belongs_to_some_versions() {
        for (path, has_1x) in [
            ("/bgps/x", true),
            ("/ports/x/bgps", true),
            ("/bgp_peers/x", false),
            ("/routers/x/bgp_networks", false),
        ] {
            assert_eq!(read(path, Version::V1_7).is_some(), has_1x, "{path}");
            assert_eq!(read(path, Version::V5_0).is_some(), !has_1x, "{path}");
        }
    }

    #[test]
    fn queries_are_decoded() {
        assert_eq!(query(Some("a=1&tenant_id=x%20y%zz"), "tenant_id").as_deref(), Some("x y%zz"));
        assert_eq!(query(Some("a"), "a").as_deref(), Some(""));
        assert_eq!(query(None, "a"), None);
    }
}
