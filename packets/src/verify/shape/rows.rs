//! The shape of OVN's rows. Texts are written word by word: an address is a set of addresses, the name of a row that row, and a MAC
//! address a number, as rows only compare these.

use ipnet::Ipv4Net;
use std::net::{Ipv4Addr, SocketAddrV4};

use super::Writer;
use crate::ovn::read::network_of;
use crate::verify::header::{Range, rest, united};
use midoform_compiler::topology::kinds::Row;
use midoform_compiler::topology::kinds::row::Value;
use midoform_compiler::topology::kinds::row::schema::Table;
use midoform_compiler::values::MacAddress;

/// The columns that no packet depends on: names are found where others have them.
const MEANINGLESS: [&str; 3] = ["external_ids", "name", "chassis_name"];
/// The keys of `options` that no packet depends on.
const PLACES: [&str; 2] = ["requested-chassis", "gateway_mtu"];

impl<'a> Writer<'a> {
    pub(super) fn row(&mut self, row: &'a Row) {
        self.tag(20);
        self.bytes.extend(row.table.to_string().into_bytes());
        if let Some(holder) = &row.holder {
            self.tag(1);
            self.reference(&holder.row);
            self.bytes.extend(holder.column.bytes());
        }
        let said = row.columns.iter().filter(|(name, _)| !MEANINGLESS.contains(name));
        for (name, value) in said {
            self.bytes.extend(name.bytes());
            match value {
                Value::Texts(texts) if row.table == Table::AddressSet => {
                    self.address_set(texts.iter().map(|text| &**text));
                }
                Value::Texts(texts) => {
                    self.index(texts.len());
                    texts.iter().for_each(|text| self.text(text));
                }
                Value::Text(text) => self.text(text),
                Value::Integer(integer) => self.bytes.extend(integer.to_le_bytes()),
                Value::Map(map) => {
                    let map = map.iter().filter(|(key, _)| !PLACES.contains(&&***key));
                    for (key, value) in map {
                        self.text(key);
                        self.text(value);
                    }
                }
                Value::References(references) => {
                    self.index(references.len());
                    references.iter().for_each(|reference| self.reference(reference));
                }
            }
            self.tag(0);
        }
    }

    /// Writes the addresses of a set, or those outside of it, if they are fewer ranges: the world is all but a few networks.
    fn address_set(&mut self, texts: impl Iterator<Item = &'a str>) {
        let networks: Result<Vec<Ipv4Net>, String> = texts.map(network_of).collect();
        let Ok(networks) = networks else {
            self.unlike = true;
            return;
        };
        let inside = united(networks.into_iter().map(Range::network).collect());
        let outside = rest(Range::ADDRESSES, &inside);
        let is_inside = inside.len() <= outside.len();
        self.tag(is_inside.into());
        let ranges = if is_inside { inside } else { outside };
        self.index(ranges.len());
        ranges.into_iter().for_each(|range| self.addresses(range));
    }

    fn text(&mut self, text: &str) {
        let is_of_word = |letter: char| letter.is_ascii_alphanumeric() || "._:/-".contains(letter);
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let length = rest.find(|letter| !is_of_word(letter)).unwrap_or(rest.len());
            let length = if length == 0 { first.len_utf8() } else { length };
            let (word, behind) = rest.split_at(length);
            self.word(word);
            rest = behind;
        }
        self.tag(0);
    }

    fn word(&mut self, word: &str) {
        let group = || word.strip_suffix("_ip4").and_then(|group| self.named.get(group));
        if let Some((tenant, entry)) = self.named.get(word).or_else(group).copied() {
            self.tag(1);
            self.index(tenant);
            self.index(entry);
        } else if let Ok(end) = word.parse::<SocketAddrV4>() {
            self.tag(2);
            self.address(*end.ip());
            self.number(end.port().into());
        } else if let Ok(network) = word.parse::<Ipv4Net>() {
            self.tag(3);
            self.address(network.addr());
            self.network(network);
            // No pod has these two.
            self.address(network.network());
            self.address(network.broadcast());
        } else if let Ok(address) = word.parse::<Ipv4Addr>() {
            self.tag(4);
            self.address(address);
        } else if let Ok(mac) = word.parse::<MacAddress>() {
            self.tag(5);
            self.mac(mac);
            let next = u32::try_from(self.macs.len()).unwrap_or(u32::MAX);
            let number = *self.macs.entry(mac).or_insert(next);
            self.number(number);
        } else {
            self.tag(6);
            self.bytes.extend(word.bytes());
        }
    }
}
