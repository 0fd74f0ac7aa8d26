//! The network interfaces of this host's kernel, as they come and go.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, TryStreamExt as _};
use rtnetlink::packet_core::NetlinkMessage;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage};
use rtnetlink::{Handle, MulticastGroup};

use crate::error::CommandError;

/// The kernel's indexes of interfaces, by name. An interface that is made again has another one.
pub(crate) type Indexes = BTreeMap<String, u32>;

/// A socket that lists the interfaces of this network namespace, and is told of changes.
pub(crate) struct Links {
    handle: Handle,
    messages: Box<dyn futures_util::Stream<Item = NetlinkMessage<RouteNetlinkMessage>> + Unpin>,
}

impl Links {
    /// Opens a socket.
    pub(crate) fn open() -> Result<Links, CommandError> {
        let opened = rtnetlink::new_multicast_connection(&[MulticastGroup::Link]);
        let (connection, handle, messages) = opened.map_err(|source| CommandError::File {
            path: "the kernel's list of interfaces".to_owned(),
            source,
        })?;
        tokio::spawn(connection);
        Ok(Links { handle, messages: Box::new(messages.map(|(message, _)| message)) })
    }

    /// Returns all interfaces: the index of each, by name.
    pub(crate) async fn all(&self) -> Result<Indexes, CommandError> {
        let listed: Result<Vec<LinkMessage>, _> = self.handle.link().get().execute().try_collect().await;
        let links = listed.map_err(|error| {
            let source = std::io::Error::other(error);
            CommandError::File { path: "the kernel's list of interfaces".to_owned(), source }
        })?;
        Ok(links.iter().filter_map(|link| Some((name_of(link)?, link.header.index))).collect())
    }

    /// Waits until one of these interfaces comes that was not there, or that was made again.
    pub(crate) async fn appeared(&mut self, wanted: &BTreeSet<String>, before: &Indexes) {
        while let Some(message) = self.messages.next().await {
            let rtnetlink::packet_core::NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) =
                message.payload
            else {
                continue;
            };
            if name_of(&link)
                .is_some_and(|name| wanted.contains(&name) && before.get(&name) != Some(&link.header.index))
            {
                return;
            }
        }
        // The socket is closed: the regular look is left.
        std::future::pending::<()>().await;
    }
}

fn name_of(link: &LinkMessage) -> Option<String> {
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    })
}
