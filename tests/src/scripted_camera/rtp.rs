//! RTP packets of H.264 (RFC 6184) and sound, and their places in an RTSP connection.

use super::annex_b::unit_type;
use super::case::Fragments;

/// Most bytes of a payload: packets of cameras fit into an Ethernet frame.
const PAYLOAD_MAX: usize = 1200;

/// An RTP track in the making.
#[derive(Debug, Clone)]
pub struct Track {
    /// The payload type.
    pub payload_type: u8,
    /// The synchronisation source.
    pub ssrc: u32,
    /// The number of the next packet.
    pub sequence: u16,
}

impl Track {
    /// The next packet (RFC 3550, section 5.1).
    pub fn packet(&mut self, timestamp: u32, marker: bool, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x80, self.payload_type | u8::from(marker) << 7];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        packet.extend(payload);
        self.sequence = self.sequence.wrapping_add(1);
        packet
    }
}

/// The payloads of a NAL unit: itself, or fragmentation units (RFC 6184, section 5.8).
pub fn payloads(unit: &[u8], form: Fragments) -> Vec<Vec<u8>> {
    if unit.len() <= PAYLOAD_MAX {
        return vec![unit.to_vec()];
    }
    let mut parts: Vec<_> = unit[1..].chunks(PAYLOAD_MAX - 2).collect();
    if form == Fragments::EmptyLast {
        parts.push(&[]);
    }
    let (indicator, last) = (unit[0] & 0xe0 | 28, parts.len() - 1);
    let kind = unit_type(unit) | if form == Fragments::ReservedBit { 0x20 } else { 0 };
    let kind = |at: usize| if form == Fragments::OtherTypes && at > 0 { 1 } else { kind };
    let header = |at: usize| kind(at) | u8::from(at == 0) << 7 | u8::from(at == last) << 6;
    parts.iter().enumerate().map(|(at, part)| [&[indicator, header(at)], *part].concat()).collect()
}

/// A packet of a session that has ended: of another source, with other numbers and times.
pub fn of_dead_session(number: usize) -> Vec<u8> {
    let mut track = Track { payload_type: 96, ssrc: 0x00c0_ffee, sequence: 40_000u16.wrapping_add(number as u16) };
    track.packet(3_000_000_000u32.wrapping_add(3000 * number as u32), true, &[0x41, 0x9a, 0x5a, 0x5a, 0x5a])
}

/// A packet in the RTSP connection (RFC 2326, section 10.12).
pub fn interleaved(channel: u8, packet: &[u8]) -> Vec<u8> {
    let length = u16::try_from(packet.len()).expect("a packet is short");
    [&[b'$', channel], &length.to_be_bytes()[..], packet].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_units_are_fragmented_and_keep_their_bytes() {
        let unit: Vec<u8> = std::iter::once(0x65).chain((0..3000u32).map(|n| n as u8)).collect();
        let parts = payloads(&unit, Fragments::Plain);
        assert_eq!(parts.iter().map(|part| part[1] & 0xc0).collect::<Vec<_>>(), [0x80, 0, 0x40]);
        assert!(parts.iter().all(|part| part[0] == 0x7c && part[1] & 0x1f == 5));
        assert_eq!(parts.iter().flat_map(|part| part[2..].to_vec()).collect::<Vec<_>>(), unit[1..]);
        assert_eq!(payloads(&unit[..100], Fragments::Plain), [unit[..100].to_vec()]);
    }
}
