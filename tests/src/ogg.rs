//! Writes Opus packets as an Ogg file (RFC 3533, RFC 7845), one packet a page, for a decoder that has to know their times.

/// Ticks per second of Opus.
const RATE: u64 = 48_000;
/// 20 ms, which each packet lasts.
const PACKET: u64 = RATE / 50;
const FIRST_PAGE: u8 = 2;
/// Page segments hold 255 bytes each.
const SEGMENT: usize = 255;

/// A file with `packets`, each at its time in ticks since the first one.
pub fn write<'a>(packets: impl IntoIterator<Item = (u64, &'a [u8])>) -> Vec<u8> {
    // Version 1, two channels, no pre-skip, 48 kHz, no gain, channel mapping family 0.
    let head = [&b"OpusHead\x01\x02\0\0"[..], &(RATE as u32).to_le_bytes(), &[0, 0, 0]].concat();
    // An empty vendor string and no comments.
    let tags = [&b"OpusTags"[..], &[0; 8]].concat();
    let headers = [(FIRST_PAGE, 0, head), (0, 0, tags)];
    let media = packets.into_iter().map(|(time, packet)| (0, time + PACKET, packet.to_vec()));
    let pages = headers.into_iter().chain(media).enumerate();
    pages.flat_map(|(number, (kind, end, packet))| page(number as u32, kind, end, &packet)).collect()
}

/// A page with one packet. Its last sample is at `end`.
fn page(number: u32, kind: u8, end: u64, packet: &[u8]) -> Vec<u8> {
    let segments = packet.len() / SEGMENT + 1;
    let mut page =
        [&b"OggS\0"[..], &[kind], &end.to_le_bytes(), &[1, 0, 0, 0], &number.to_le_bytes(), &[0; 4]].concat();
    page.push(segments as u8);
    page.extend(vec![SEGMENT as u8; segments - 1]);
    page.push((packet.len() % SEGMENT) as u8);
    page.extend_from_slice(packet);
    let sum = checksum(&page);
    page[22..26].copy_from_slice(&sum.to_le_bytes());
    page
}

/// CRC-32 with the generator 0x04c11db7, not reflected.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |sum, byte| {
        (0..8)
            .fold(sum ^ u32::from(*byte) << 24, |sum, _| if sum >> 31 == 1 { sum << 1 ^ 0x04c1_1db7 } else { sum << 1 })
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn page_has_the_checksum_of_its_bytes() {
        let file = super::write([(0, &[7; 300][..])]);
        let pages: Vec<usize> =
            file.windows(4).enumerate().filter(|(_, four)| *four == b"OggS").map(|(at, _)| at).collect();
        assert_eq!(pages.len(), 3);
        let mut last = file[pages[2]..].to_vec();
        assert_eq!((last[26], last[27], last[28], last.len()), (2, 255, 45, 29 + 300));
        let sum = u32::from_le_bytes(last[22..26].try_into().unwrap());
        last[22..26].fill(0);
        assert_eq!(super::checksum(&last), sum);
    }
}
