//! The transmit checksum offload of an interface, over the kernel's ethtool netlink (Documentation/networking/ethtool-netlink.rst).
//!
//! The crate `ethtool` reads features and can't set them yet, so its message is written here.

use std::io;

use futures_util::StreamExt as _;
use netlink_packet_core::{
    DefaultNla, Emitable, NLA_F_NESTED, NLM_F_ACK, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
    ParseableParametrized,
};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};

/// The offload that veth interfaces have: of every protocol.
const OFFLOADS: [&str; 2] = ["tx-checksum-ip-generic", "tx-checksum-sctp"];

const FEATURES_SET: u8 = 12;
const FEATURES_HEADER: u16 = 1;
const FEATURES_WANTED: u16 = 3;
const HEADER_DEVICE_NAME: u16 = 2;
const BITSET_BITS: u16 = 3;
const BITS_BIT: u16 = 1;
const BIT_NAME: u16 = 2;

/// The attributes of a request, or of a reply, whose attributes nobody needs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Features(Vec<DefaultNla>);

impl GenlFamily for Features {
    fn family_name() -> &'static str {
        "ethtool"
    }

    fn command(&self) -> u8 {
        FEATURES_SET
    }

    fn version(&self) -> u8 {
        1
    }
}

impl Emitable for Features {
    fn buffer_len(&self) -> usize {
        self.0.as_slice().buffer_len()
    }

    fn emit(&self, buffer: &mut [u8]) {
        self.0.as_slice().emit(buffer);
    }
}

impl ParseableParametrized<[u8], GenlHeader> for Features {
    fn parse_with_param(_: &[u8], _: GenlHeader) -> Result<Self, netlink_packet_core::DecodeError> {
        Ok(Features(Vec::new()))
    }
}

/// Turns the offload off in the calling thread's namespace.
pub(super) async fn send(interface: &str) -> io::Result<()> {
    let (connection, mut handle, _): (_, _, _) = genetlink::new_connection()?;
    tokio::spawn(connection);
    let mut message = NetlinkMessage::from(GenlMessage::from_payload(request(interface)));
    message.header.flags = NLM_F_REQUEST | NLM_F_ACK;
    let mut replies = handle.request(message).await.map_err(io::Error::other)?;
    while let Some(reply) = replies.next().await {
        if let NetlinkPayload::Error(error) = reply.map_err(io::Error::other)?.payload
            && error.code.is_some()
        {
            return Err(error.to_io());
        }
    }
    Ok(())
}

/// Returns the request: a bit that is named without the flag `value` is turned off.
fn request(interface: &str) -> Features {
    let bit = |name: &&str| nested(BITS_BIT, &[text(BIT_NAME, name)]);
    let bits: Vec<DefaultNla> = OFFLOADS.iter().map(bit).collect();
    Features(vec![
        nested(FEATURES_HEADER, &[text(HEADER_DEVICE_NAME, interface)]),
        nested(FEATURES_WANTED, &[nested(BITSET_BITS, &bits)]),
    ])
}

fn text(kind: u16, text: &str) -> DefaultNla {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    DefaultNla::new(kind, bytes)
}

fn nested(kind: u16, attributes: &[DefaultNla]) -> DefaultNla {
    let mut bytes = vec![0; attributes.buffer_len()];
    attributes.emit(&mut bytes);
    DefaultNla::new(kind | NLA_F_NESTED, bytes)
}
