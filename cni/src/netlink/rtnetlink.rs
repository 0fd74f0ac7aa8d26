//! The operations over rtnetlink. A socket stays in the namespace in which it was opened.

use std::io;
use std::rc::Rc;

use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use midoform_compiler::values::MacAddress;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::{AddressAttribute, AddressScope};
use rtnetlink::packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkMessage};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec, RouteMessageBuilder};
use tokio::runtime::Runtime;

use super::checksums;
use super::namespace::Namespace;
use super::{KernelRoute, Link, LinkChange, Netlink, NetlinkError, VethPair};

/// The kernel's error number: no such device.
const NO_DEVICE: i32 = 19;
/// The kernel's error number: the object exists.
const EXISTS: i32 = 17;

/// One namespace of the kernel.
pub(super) struct Kernel {
    runtime: Rc<Runtime>,
    handle: Handle,
    namespace: Namespace,
    /// The plugin's own namespace, for the peer of a veth pair.
    host: Namespace,
}

impl Kernel {
    /// Moves the calling thread into the namespace, and opens a socket there. `host` is the plugin's own namespace.
    pub(super) fn open(runtime: Rc<Runtime>, namespace: Namespace, host: &Namespace) -> io::Result<Kernel> {
        namespace.enter()?;
        let handle = runtime.block_on(async {
            let (connection, handle, _) = rtnetlink::new_connection()?;
            tokio::spawn(connection);
            Ok::<_, io::Error>(handle)
        })?;
        Ok(Kernel { runtime, handle, namespace, host: host.try_clone()? })
    }

    fn list<T>(
        &self,
        operation: impl FnOnce() -> String,
        stream: impl Stream<Item = Result<T, rtnetlink::Error>>,
    ) -> Result<Vec<T>, NetlinkError> {
        self.runtime.block_on(stream.try_collect()).map_err(|error| refused(operation(), error))
    }

    fn run(
        &self,
        operation: impl FnOnce() -> String,
        fine: &[i32],
        request: impl Future<Output = Result<(), rtnetlink::Error>>,
    ) -> Result<(), NetlinkError> {
        match self.runtime.block_on(request) {
            Err(error) if number_of(&error).is_some_and(|number| fine.contains(&number)) => Ok(()),
            other => other.map_err(|error| refused(operation(), error)),
        }
    }
}

/// Returns the kernel's error number, if the error comes from the kernel.
fn number_of(error: &rtnetlink::Error) -> Option<i32> {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.code.map(|code| code.get().abs()),
        _ => None,
    }
}

fn refused(operation: String, error: rtnetlink::Error) -> NetlinkError {
    let source = match number_of(&error) {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::other(error.to_string()),
    };
    NetlinkError::Refused { operation, source }
}

impl Netlink for Kernel {
    fn link(&mut self, name: &str) -> Result<Option<Link>, NetlinkError> {
        let mut found = Box::pin(self.handle.link().get().match_name(name.to_owned()).execute());
        match self.runtime.block_on(found.next()) {
            Some(Ok(message)) => Ok(Some(link_of(&message))),
            Some(Err(error)) if number_of(&error) == Some(NO_DEVICE) => Ok(None),
            Some(Err(error)) => Err(refused(format!("looking up {name}"), error)),
            None => Ok(None),
        }
    }

    fn links(&mut self) -> Result<Vec<Link>, NetlinkError> {
        let found = self.list(|| "listing the interfaces".to_owned(), self.handle.link().get().execute())?;
        Ok(found.iter().map(link_of).collect())
    }

    fn add_pair(&mut self, pair: VethPair<'_>) -> Result<(), NetlinkError> {
        let peer = LinkUnspec::new_with_name(pair.peer)
            .mtu(pair.mtu.into())
            .address(pair.peer_mac.0.to_vec())
            .setns_by_fd(self.host.descriptor())
            .build();
        let message = LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(InfoKind::Veth)
            .name(pair.name)
            .mtu(pair.mtu.into())
            .address(pair.mac.0.to_vec())
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .build();
        let operation = || format!("making {} and {}", pair.name, pair.peer);
        self.run(operation, &[], self.handle.link().add(message).execute())
    }

    fn remove(&mut self, index: u32) -> Result<(), NetlinkError> {
        let operation = || format!("removing interface {index}");
        self.run(operation, &[NO_DEVICE], self.handle.link().del(index).execute())
    }

    fn change(&mut self, index: u32, change: LinkChange<'_>) -> Result<(), NetlinkError> {
        let mut message = LinkUnspec::new_with_index(index);
        if let Some(name) = change.name {
            message = message.name(name);
        }
        if let Some(alias) = change.alias {
            message = message.alias(alias);
        }
        if let Some(mac) = change.mac {
            message = message.address(mac.0.to_vec());
        }
        if let Some(mtu) = change.mtu {
            message = message.mtu(mtu);
        }
        message = match change.up {
            Some(true) => message.up(),
            Some(false) => message.down(),
            None => message,
        };
        let operation = || format!("changing interface {index} ({change:?})");
        self.run(operation, &[], self.handle.link().change(message.build()).execute())
    }

    fn addresses(&mut self, index: u32) -> Result<Vec<IpNet>, NetlinkError> {
        let operation = || format!("listing the addresses of interface {index}");
        let found =
            self.list(operation, self.handle.address().get().set_link_index_filter(index).execute())?;
        let own = found.iter().filter(|message| message.header.scope != AddressScope::Link);
        let address = |message: &rtnetlink::packet_route::address::AddressMessage| {
            let local = message.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Local(address) => Some(*address),
                _ => None,
            });
            let any = message.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Address(address) => Some(*address),
                _ => None,
            });
            IpNet::new(local.or(any)?, message.header.prefix_len).ok()
        };
        Ok(own.filter_map(address).collect())
    }

    fn add_address(&mut self, index: u32, address: IpNet) -> Result<(), NetlinkError> {
        let request = self.handle.address().add(index, address.addr(), address.prefix_len());
        self.run(|| format!("adding {address} to interface {index}"), &[EXISTS], request.execute())
    }

    fn routes(&mut self) -> Result<Vec<KernelRoute>, NetlinkError> {
        let mut routes = Vec::new();
        let v4 = RouteMessageBuilder::<std::net::Ipv4Addr>::new().build();
        let v6 = RouteMessageBuilder::<std::net::Ipv6Addr>::new().build();
        for wanted in [v4, v6] {
            let found =
                self.list(|| "listing the routes".to_owned(), self.handle.route().get(wanted).execute())?;
            routes.extend(found.into_iter().filter_map(route_of));
        }
        Ok(routes)
    }

    fn add_route(&mut self, route: &KernelRoute) -> Result<(), NetlinkError> {
        let message = route.message.clone().unwrap_or_else(|| message_of(route));
        let operation = || format!("adding the route to {} by {:?}", route.destination, route.gateway);
        self.run(operation, &[EXISTS], self.handle.route().add(message).execute())
    }

    fn send_checksums(&mut self, name: &str) -> Result<(), NetlinkError> {
        let sent = self.namespace.enter().and_then(|()| self.runtime.block_on(checksums::send(name)));
        sent.map_err(|source| NetlinkError::Refused {
            operation: format!("turning off the transmit checksum offload of {name}"),
            source,
        })
    }

    fn set_parameter(&mut self, name: &str, value: &str) -> Result<(), NetlinkError> {
        let path = format!("/proc/sys/net/{name}");
        // The thread's namespace decides which parameters these files hold.
        let written = self.namespace.enter().and_then(|()| std::fs::write(&path, value));
        match written {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => {
                other.map_err(|source| NetlinkError::Refused { operation: format!("writing {path}"), source })
            }
        }
    }
}

fn link_of(message: &LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        is_up: message.header.flags.contains(LinkFlags::Up),
        has_carrier: message.header.flags.contains(LinkFlags::LowerUp),
        ..Link::default()
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::IfAlias(alias) => link.alias.clone_from(alias),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::Link(peer) => link.peer = Some(*peer),
            LinkAttribute::Address(bytes) => {
                link.mac = <[u8; 6]>::try_from(bytes.as_slice()).ok().map(MacAddress)
            }
            _ => {}
        }
    }
    link
}

/// Reads a unicast route of the main table that has one output interface.
fn route_of(mut message: RouteMessage) -> Option<KernelRoute> {
    let header = &message.header;
    if header.table != RouteHeader::RT_TABLE_MAIN || header.kind != RouteType::Unicast {
        return None;
    }
    let v4 = header.address_family == AddressFamily::Inet;
    let length = header.destination_prefix_length;
    let mut destination = match v4 {
        true => IpNet::V4(Ipv4Net::default()),
        false => IpNet::V6(Ipv6Net::default()),
    };
    let (mut gateway, mut index) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(address)) => {
                destination = IpNet::new((*address).into(), length).ok()?;
            }
            RouteAttribute::Destination(RouteAddress::Inet6(address)) => {
                destination = IpNet::new((*address).into(), length).ok()?;
            }
            RouteAttribute::Gateway(RouteAddress::Inet(address)) => gateway = Some((*address).into()),
            RouteAttribute::Gateway(RouteAddress::Inet6(address)) => gateway = Some((*address).into()),
            RouteAttribute::Oif(oif) => index = Some(*oif),
            _ => {}
        }
    }
    let automatic = header.protocol == RouteProtocol::Kernel;
    // The kernel reports these, and refuses them in a request.
    message.attributes.retain(|attribute| !matches!(attribute, RouteAttribute::CacheInfo(_)));
    message.header.flags = rtnetlink::packet_route::route::RouteFlags::empty()
        | (message.header.flags & rtnetlink::packet_route::route::RouteFlags::Onlink);
    Some(KernelRoute { destination, gateway, index: index?, automatic, message: Some(message) })
}

fn message_of(route: &KernelRoute) -> RouteMessage {
    let (IpNet::V4(destination), gateway) = (route.destination, route.gateway) else {
        return RouteMessage::default();
    };
    let mut message = RouteMessageBuilder::<std::net::Ipv4Addr>::new()
        .destination_prefix(destination.addr(), destination.prefix_len())
        .output_interface(route.index);
    match gateway {
        Some(std::net::IpAddr::V4(gateway)) => message = message.gateway(gateway),
        _ => message = message.scope(RouteScope::Link),
    }
    message.build()
}
