//! An existing interface of the requested name gets another one: `eth0` becomes `eth1`. DEL restores its name.

use ipnet::IpNet;

use super::names::shortened;
use crate::netlink::{KernelRoute, Link, LinkChange, Netlink, NetlinkError};
use crate::protocol::error::CniError;

/// The number of names that are tried.
const CANDIDATES: u32 = 8;

/// The interface's new name, and the default routes that it had.
pub(super) struct Renamed {
    pub(super) name: String,
    pub(super) default_routes: Vec<KernelRoute>,
}

/// Renames an interface to the next free name, and removes its default routes. Its alias then names the owner of the endpoint
/// that took its name.
pub(super) fn rename_to_free_name(
    container: &mut dyn Netlink,
    link: &Link,
    owner: &str,
) -> Result<Renamed, NetlinkError> {
    for name in next_names(&link.name) {
        if container.link(&name)?.is_none() {
            let default_routes = rename(container, link, &name, &renamed_alias(&link.name, owner))?;
            return Ok(Renamed { name, default_routes });
        }
    }
    let message = format!("the container has an interface {}, and no name is free to rename it", link.name);
    Err(NetlinkError::Conflict(message))
}

/// Finds the interface that was renamed for this owner and had this name before. The namespace may be somebody else's, with
/// an interface that was renamed for another owner.
pub(super) fn find_renamed(
    container: &mut dyn Netlink,
    former: &str,
    owner: &str,
) -> Result<Option<Link>, NetlinkError> {
    for name in next_names(former) {
        match container.link(&name)? {
            Some(link) if link.alias == renamed_alias(former, owner) => return Ok(Some(link)),
            Some(_) => {}
            None => return Ok(None),
        }
    }
    Ok(None)
}

/// Restores the former name of an interface that was renamed for this owner, if there is one and the name is free.
pub(super) fn restore_name(
    container: &mut dyn Netlink,
    former: &str,
    owner: &str,
) -> Result<(), NetlinkError> {
    let Some(renamed) = find_renamed(container, former, owner)? else { return Ok(()) };
    if container.link(former)?.is_none() {
        rename(container, &renamed, former, "")?;
    }
    Ok(())
}

/// Returns the names after `eth0`: `eth1`, `eth2` and so on.
fn next_names(name: &str) -> impl Iterator<Item = String> {
    let letters = name.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
    let number: u32 = name.strip_prefix(&letters).and_then(|digits| digits.parse().ok()).unwrap_or(0);
    let names =
        (number.saturating_add(1)..).take(CANDIDATES as usize).map(move |next| format!("{letters}{next}"));
    names.filter(|name| name.len() <= 15)
}

/// Returns the alias of a renamed interface, by which it is found again.
fn renamed_alias(former: &str, owner: &str) -> String {
    shortened(format!("midonet-cni: was {former} before {owner}"))
}

/// Renames an interface, and returns its default routes.
///
/// The interface must be down for that, which removes its routes. All but the default routes are added again. If this
/// fails, the interface gets its name and routes back.
fn rename(
    container: &mut dyn Netlink,
    link: &Link,
    name: &str,
    alias: &str,
) -> Result<Vec<KernelRoute>, NetlinkError> {
    let addresses = container.addresses(link.index)?;
    let mut routes = container.routes()?;
    routes.retain(|route| route.index == link.index && !route.automatic);
    // The kernel takes a route only if its next hop can be reached.
    routes.sort_by_key(|route| (route.is_default(), route.gateway.is_some()));
    let (default, others): (Vec<KernelRoute>, Vec<KernelRoute>) =
        routes.iter().cloned().partition(KernelRoute::is_default);
    let result = rename_with(container, link, (name, alias), &addresses, &others);
    if result.is_err()
        && let Err(second) = rename_with(container, link, (&link.name, &link.alias), &addresses, &routes)
    {
        tracing::warn!(
            error = CniError::from(second).in_full(),
            interface = link.name,
            "the interface can't be renamed back"
        );
    }
    result.map(|()| default)
}

fn rename_with(
    container: &mut dyn Netlink,
    link: &Link,
    (name, alias): (&str, &str),
    addresses: &[IpNet],
    routes: &[KernelRoute],
) -> Result<(), NetlinkError> {
    container.change(link.index, LinkChange { up: Some(false), ..LinkChange::default() })?;
    container
        .change(link.index, LinkChange { name: Some(name), alias: Some(alias), ..LinkChange::default() })?;
    for address in addresses {
        container.add_address(link.index, *address)?;
    }
    if !link.is_up {
        return Ok(());
    }
    container.change(link.index, LinkChange { up: Some(true), ..LinkChange::default() })?;
    routes.iter().try_for_each(|route| container.add_route(route))
}
