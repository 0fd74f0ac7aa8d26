//! Addresses in matches: a few of them stand in the match itself, others in an address set.

use std::fmt::Display;

use ipnet::Ipv4Net;

use super::spaces::Spaces;
use super::{Lowering, keys};
use crate::network::PortIndex;
use crate::ovn::expression::build::{AddressSetName, Addresses};
use crate::ovn::names;
use crate::ovn::networks::AddressSpace;
use crate::source::Span;
use crate::topology::key::Key;
use crate::topology::kinds::Row;
use crate::topology::kinds::row::schema::Table;

/// The most networks that stand in a match.
const MOST_IN_A_MATCH: usize = 8;

impl Lowering<'_> {
    /// Returns these addresses for a match; none if there are none. If they are many, they are in an address set with this name.
    pub(super) fn addresses(
        &mut self,
        name: impl Display,
        space: &AddressSpace,
        span: Span,
    ) -> Option<Addresses> {
        let networks = space.networks();
        if networks.len() <= MOST_IN_A_MATCH {
            return Addresses::networks(networks);
        }
        let key = keys::address_set(self.keys, name);
        Some(Addresses::set(self.address_set(key, networks, span)))
    }

    /// Returns the addresses of the world.
    pub(super) fn world(&mut self) -> Option<Addresses> {
        self.once("world", Spaces::world)
    }

    /// Returns the addresses of the world and of the peers.
    pub(super) fn outside(&mut self) -> Option<Addresses> {
        self.once("outside", Spaces::outside)
    }

    /// Returns the addresses of all bridges.
    pub(super) fn inside(&mut self) -> Option<Addresses> {
        self.once("inside", |spaces| spaces.inside.clone())
    }

    /// Returns addresses that many rules name, and computes them once.
    fn once(&mut self, name: &'static str, space: impl Fn(&Spaces) -> AddressSpace) -> Option<Addresses> {
        if let Some(known) = self.known.get(name) {
            return known.clone();
        }
        let space = space(&self.spaces);
        let addresses = self.addresses(name, &space, self.tenant.span);
        self.known.insert(name, addresses.clone());
        addresses
    }

    /// Returns the addresses that one end of a rule names: those of an address group, or others.
    pub(super) fn named(
        &mut self,
        name: impl Display,
        networks: &[Ipv4Net],
        span: Span,
    ) -> Option<Addresses> {
        let tenant = self.tenant;
        let group = tenant.address_groups.iter().find(|group| group.networks == networks);
        match group.filter(|group| group.networks.len() > 1) {
            Some(group) => {
                let key = keys::address_group(self.keys, &group.name);
                Some(Addresses::set(self.address_set(key, networks.to_vec(), group.span)))
            }
            None => self.addresses(name, &networks.iter().copied().collect(), span),
        }
    }

    /// Returns the addresses of static ports: those of a port group, or others.
    pub(super) fn of_ports(
        &mut self,
        name: impl Display,
        ports: &[PortIndex],
        span: Span,
    ) -> Option<Addresses> {
        let tenant = self.tenant;
        if let Some(group) = tenant.port_groups.iter().find(|group| group.ports == ports && !ports.is_empty())
        {
            let key = self.keys.port_group(&group.name).group();
            let group = names::set_name(&self.engine.site.name.value, &key);
            return Some(Addresses::set(AddressSetName::of_port_group(&group)));
        }
        let space = ports.iter().filter_map(|at| tenant.port(*at)).map(|port| port.address.into()).collect();
        self.addresses(name, &space, span)
    }

    /// Returns the name of the address set with this key, and adds its row once.
    fn address_set(&mut self, key: Key, networks: Vec<Ipv4Net>, span: Span) -> AddressSetName {
        let name = names::set_name(&self.engine.site.name.value, &key);
        if self.sets.insert(key.clone()) {
            let texts = networks.iter().map(|network| match network.prefix_len() {
                32 => network.addr().to_string(),
                _ => network.to_string(),
            });
            let row = Row::new(Table::AddressSet).text("name", name.as_str()).texts("addresses", texts);
            self.add(key, row, span);
        }
        AddressSetName::of_row(name)
    }
}
