//! The bytes of probes, and of what comes back.

use std::net::Ipv4Addr;

use super::connection::Refusal;

/// The length of a probe's payload.
pub(super) const PAYLOAD: usize = 12;

/// Returns a probe's payload: the run's number and its own.
pub(super) fn payload(nonce: u64, index: usize) -> [u8; PAYLOAD] {
    let mut bytes = [0; PAYLOAD];
    bytes[..8].copy_from_slice(&nonce.to_be_bytes());
    bytes[8..].copy_from_slice(&u32::try_from(index).unwrap_or(u32::MAX).to_be_bytes());
    bytes
}

/// Returns the number of the probe that a payload is of.
pub(super) fn index_of(nonce: u64, bytes: &[u8]) -> Option<usize> {
    let (own, index) = bytes.get(..PAYLOAD)?.split_at(8);
    let index = u32::from_be_bytes(index.try_into().ok()?);
    (own == nonce.to_be_bytes()).then(|| usize::try_from(index).ok()).flatten()
}

/// Returns the Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or_default()])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

/// Returns an ICMP echo request.
pub(super) fn echo_request(identifier: u16, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![8, 0, 0, 0];
    bytes.extend(identifier.to_be_bytes());
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(payload);
    let sum = checksum(&bytes);
    bytes[2..4].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// Returns an IPv4 packet with a UDP packet in it. The kernel fills in the rest of its header. A UDP packet over IPv4 needs no checksum.
pub(super) fn udp_packet(
    (source, source_port): (Ipv4Addr, u16),
    (to, port): (Ipv4Addr, u16),
    payload: &[u8],
) -> Vec<u8> {
    let udp = u16::try_from(8 + payload.len()).unwrap_or(u16::MAX);
    let mut bytes = vec![0x45, 0];
    bytes.extend((udp + 20).to_be_bytes());
    bytes.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    bytes.extend(source.octets());
    bytes.extend(to.octets());
    for word in [source_port, port, udp, 0] {
        bytes.extend(word.to_be_bytes());
    }
    bytes.extend(payload);
    bytes
}

/// What a raw ICMP socket reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Icmp {
    /// A reply to the echo request with this identifier and sequence number.
    Reply(u16, u16),
    /// An error about an echo request.
    EchoError(Refusal, u16, u16),
    /// An error about a packet of this protocol from this port.
    PortError(Refusal, u8, u16),
}

/// Reads an IPv4 packet with an ICMP message.
pub(super) fn read_icmp(packet: &[u8]) -> Option<Icmp> {
    let word = |bytes: &[u8], at: usize| -> Option<u16> {
        Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
    };
    let behind_header = |packet: &[u8]| -> Option<usize> { Some(usize::from(packet.first()? & 0x0f) * 4) };
    let message = packet.get(behind_header(packet)?..)?;
    let (kind, code) = (*message.first()?, *message.get(1)?);
    match kind {
        0 => Some(Icmp::Reply(word(message, 4)?, word(message, 6)?)),
        3 | 11 | 12 => {
            let about = message.get(8..)?;
            let inside = about.get(behind_header(about)?..)?;
            let refusal = Refusal::Icmp(kind, code);
            Some(match *about.get(9)? {
                1 => Icmp::EchoError(refusal, word(inside, 4)?, word(inside, 6)?),
                protocol => Icmp::PortError(refusal, protocol, word(inside, 0)?),
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

    use super::*;

    #[test]
    fn a_payload_names_its_probe() {
        let bytes = payload(7, 300);
        assert_eq!(index_of(7, &bytes), Some(300));
        assert_eq!(index_of(8, &bytes), None);
        assert_eq!(index_of(7, &bytes[..5]), None);
    }

    #[test]
    fn an_echo_request_has_the_sum_zero() {
        assert_eq!(checksum(&echo_request(0x1234, 7, b"abc")), 0);
    }

    #[test]
    fn errors_tell_what_they_are_about() {
        let source = (Ipv4Addr::new(10, 0, 0, 1), 4000);
        let about = udp_packet(source, (Ipv4Addr::new(10, 0, 0, 2), 53), b"x");
        let mut packet = vec![0x45; 20];
        packet.extend([3, 3, 0, 0, 0, 0, 0, 0]);
        packet.extend(&about);
        assert_eq!(read_icmp(&packet), Some(Icmp::PortError(Refusal::Icmp(3, 3), 17, 4000)));
        for length in 0..packet.len() - 5 {
            // A short packet is no message, and no end of the program.
            let _ = read_icmp(&packet[..length]);
        }
    }
}
