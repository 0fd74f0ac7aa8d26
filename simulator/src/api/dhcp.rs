//! Creates, reads and deletes the DHCP subnets of bridges. A path names one by its address and prefix length. Not recorded;
//! MidoNet's source.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use uuid::Uuid;

use super::media_type::{self, Purpose};
use super::{Api, Call, Outcome};
use crate::failure::{Failure, Operation};
use crate::http::deserialize::Draft;
use crate::http::reply::Reply;
use crate::integrity;
use crate::object::{Object, Value};
use crate::schema::Kind;
use crate::state::State;
use crate::version::Negotiation;

/// An address and a prefix length.
type Subnet = (IpAddr, i64);

impl Api {
    /// Creates a DHCP subnet of a bridge.
    pub(super) fn create_subnet(&self, call: &Call<'_>, kind: Kind, bridge: Uuid) -> Outcome {
        let is_1x = self.version.traits().is_1x;
        let mut draft = self.draft(call, kind)?;
        self.validate(kind, &draft)?;
        let (address_field, length_field) = fields(kind);
        let length = number_of(draft.get(length_field));
        draft.set(length_field, Value::Number(length));
        let Some(Value::Text(address)) = draft.get(address_field).cloned() else {
            return Err(Failure::null());
        };
        let Ok(parsed) = address.parse() else { return Err(Failure::null()) };
        let mut state = self.lock();
        if !state.has(Kind::Bridge, bridge) {
            return Err(Failure::missing(Kind::Bridge, bridge, Operation::Create(kind)));
        }
        if find(&state, kind, bridge, (parsed, length)).is_some() {
            match kind {
                _ if is_1x => return Err(Failure::Crash(String::new())),
                Kind::DhcpSubnet if self.version.traits().refuses_duplicates => {
                    let message = format!(
                        "The specified DHCP subnet({address}/{length}) already exists on this bridge."
                    );
                    return Err(Failure::Message { status: 409, message });
                }
                _ => {}
            }
        }
        if is_1x && kind == Kind::DhcpSubnet {
            set_server(&mut draft, parsed, length);
        }
        draft.set("bridgeId", Value::Uuid(bridge));
        let mut change = state.begin();
        change.create(integrity::object(kind, Uuid::new_v4(), draft));
        let ticket = self.commit(call, change);
        let location = format!("{}/bridges/{bridge}/{}/{address}_{length}", call.base, kind.path());
        Ok((Reply::created(Some(location)), ticket))
    }

    /// Reads a DHCP subnet. On 1.7 it does not exist if the bridge does not.
    pub(super) fn subnet(
        &self,
        call: &Call<'_>,
        bridge: &str,
        kind: Kind,
        name: &str,
    ) -> Result<Reply, Failure> {
        let is_1x = self.version.traits().is_1x;
        let offers = media_type::offers(kind, self.version, Purpose::One);
        let offer = media_type::choose(Negotiation::Weighed, call.accept, &offers)?;
        let bridge = Self::path_id(bridge)?;
        let state = self.lock();
        if !is_1x && !state.has(Kind::Bridge, bridge) {
            return Err(Failure::missing(Kind::Bridge, bridge, Operation::Read));
        }
        let found = read_name(name).and_then(|subnet| find(&state, kind, bridge, subnet));
        drop(state);
        let found = found.ok_or_else(|| match is_1x {
            true => {
                Failure::Message { status: 404, message: "The requested resource was not found.".to_owned() }
            }
            false => Failure::StatusOnly(404),
        })?;
        Ok(self.shown(call, offer, &found))
    }

    /// Deletes a DHCP subnet. One that does not exist is 404 on 5.x, and 500 on 1.7.
    pub(super) fn delete_subnet(&self, call: &Call<'_>, bridge: Uuid, kind: Kind, name: &str) -> Outcome {
        let is_1x = self.version.traits().is_1x;
        let mut state = self.lock();
        if !is_1x && !state.has(Kind::Bridge, bridge) {
            return Err(Failure::missing(Kind::Bridge, bridge, Operation::Read));
        }
        let found = read_name(name).and_then(|subnet| find(&state, kind, bridge, subnet));
        let Some(found) = found else {
            let message = format!("Network {bridge} does not have a subnet with address {name}.");
            return Err(match is_1x {
                true => Failure::Crash(String::new()),
                false => Failure::Message { status: 404, message },
            });
        };
        let mut change = state.begin();
        change.delete(kind, found.id);
        let ticket = self.commit(call, change);
        Ok((Reply::done(), ticket))
    }
}

/// Returns the fields with the address and the prefix length of a subnet.
fn fields(kind: Kind) -> (&'static str, &'static str) {
    if kind == Kind::DhcpSubnet6 { ("prefix", "prefixLength") } else { ("subnetPrefix", "subnetLength") }
}

fn number_of(value: Option<&Value>) -> i64 {
    match value {
        Some(Value::Number(number)) => *number,
        _ => 0,
    }
}

/// Reads the name of a subnet in a path: its address, `_`, and its prefix length.
fn read_name(name: &str) -> Option<Subnet> {
    let (address, length) = name.rsplit_once('_')?;
    Some((address.parse().ok()?, length.parse().ok()?))
}

/// Returns a bridge's subnet.
fn find(state: &State, kind: Kind, bridge: Uuid, (address, length): Subnet) -> Option<Arc<Object>> {
    let (address_field, length_field) = fields(kind);
    let is_it = |subnet: &&Arc<Object>| {
        let parsed = subnet.text(address_field).and_then(|text| text.parse::<IpAddr>().ok());
        parsed == Some(address) && number_of(subnet.get(length_field)) == length
    };
    state.referring(bridge, "bridgeId", kind).find(is_it).cloned()
}

/// Sets the address of the DHCP server as 1.7 does for a body without one: the default gateway, or the last address before
/// the broadcast address.
fn set_server(draft: &mut Draft, address: IpAddr, length: i64) {
    if draft.get("serverAddr").is_some() {
        return;
    }
    let server = draft.get("defaultGateway").cloned().or_else(|| match address {
        IpAddr::V4(network) => Some(Value::text(before_broadcast(network, length).to_string())),
        IpAddr::V6(_) => None,
    });
    draft.set("serverAddr", server.unwrap_or(Value::Null));
}

fn before_broadcast(network: Ipv4Addr, length: i64) -> Ipv4Addr {
    let hosts = u32::try_from(length).ok().and_then(|length| u32::MAX.checked_shr(length)).unwrap_or(0);
    Ipv4Addr::from_bits((network.to_bits() | hosts).wrapping_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_subnet() {
        assert_eq!(read_name("10.0.0.0_24"), Some((Ipv4Addr::new(10, 0, 0, 0).into(), 24)));
        assert_eq!(read_name("fd00::_64"), Some(("fd00::".parse().unwrap(), 64)));
        for bad in ["", "10.0.0.0", "10.0.0.0_", "10.0.0.0_x", "_24", "10.0.0_24"] {
            assert_eq!(read_name(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_server_is_before_the_broadcast_address() {
        let network = Ipv4Addr::new(10, 0, 1, 0);
        assert_eq!(before_broadcast(network, 24), Ipv4Addr::new(10, 0, 1, 254));
        assert_eq!(before_broadcast(network, 32), Ipv4Addr::new(10, 0, 0, 255));
        assert_eq!(before_broadcast(network, 0), Ipv4Addr::new(255, 255, 255, 254));
    }
}
