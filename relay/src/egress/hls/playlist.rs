//! The media playlist (RFC 8216bis, section 4): a window in, its text out.
//!
//! Written by hand: it is a dozen tags, and of the crates that have the low-latency ones quick-m3u8 0.8 leaves out the
//! comma that belongs behind a segment's duration (section 4.4.4.1).

use std::fmt::{self, Write as _};

use sightline_protocol::stream::Variant;

use super::date::iso_8601;
use super::name::Name;
use super::segment::{Part, Segment};
use super::shape::Shape;
use super::window::Window;

/// The version that has all these tags (section 8): EXT-X-SKIP asks for 9.
pub(super) const VERSION: u32 = 9;
/// How far from the end parts are listed, in target durations; older ones are of no use any more (section 4.4.4.9).
const PARTS: f64 = 3.0;

/// How far another variant of the stream is (section 4.4.5.4), so that a player that changes to it need not look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) variant: Variant,
    pub(super) last_msn: u64,
    pub(super) last_part: Option<usize>,
}

impl Report {
    /// Of that variant; none while it has nothing to list.
    pub(super) fn of(variant: Variant, window: &Window) -> Option<Self> {
        window.shape()?;
        let last = window.open().or(window.listed().next_back())?;
        Some(Self { variant, last_msn: last.msn, last_part: last.parts.len().checked_sub(1) })
    }
}

/// The playlist of `window`, or `None` while there is nothing to list. With `delta`, where that leaves anything out, an
/// update for those who know the older segments (section 6.2.5.1).
pub(super) fn media(window: &Window, delta: bool, reports: &[Report]) -> Option<String> {
    let mut text = String::new();
    let written = write(&mut text, window, window.shape()?, delta, reports);
    written.expect("a String takes everything");
    Some(text)
}

fn write(out: &mut String, window: &Window, shape: Shape, delta: bool, reports: &[Report]) -> fmt::Result {
    let all: Vec<&Segment> = window.listed().collect();
    header(out, shape, &all)?;
    let end = window.open().or(all.last().copied()).map_or(0.0, Segment::end);
    let skipped = if delta {
        let old = |segment: &&&Segment| segment.end() <= end - shape.can_skip_until();
        all.iter().take_while(old).count()
    } else {
        0
    };
    if skipped > 0 {
        writeln!(out, "#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}")?;
    }
    let mut map = None;
    let parts_from = end - PARTS * f64::from(shape.target_duration);
    for segment in all[skipped..].iter().copied() {
        begin(out, segment, &mut map)?;
        if segment.gap {
            writeln!(out, "#EXT-X-GAP")?;
        } else if segment.end() > parts_from {
            parts(out, segment)?;
        }
        writeln!(out, "#EXTINF:{:.5},\n{}", segment.duration, Name::Segment(segment.msn))?;
    }
    if let Some(open) = window.open() {
        begin(out, open, &mut map)?;
        parts(out, open)?;
    }
    let (msn, part) = window.hint();
    writeln!(out, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{}\"", Name::Part(msn, part))?;
    for Report { variant, last_msn, last_part } in reports {
        let playlist = Name::Playlist;
        write!(out, "#EXT-X-RENDITION-REPORT:URI=\"../{variant}/{playlist}\",LAST-MSN={last_msn}")?;
        last_part.map_or(Ok(()), |part| write!(out, ",LAST-PART={part}"))?;
        writeln!(out)?;
    }
    Ok(())
}

fn header(out: &mut String, shape: Shape, all: &[&Segment]) -> fmt::Result {
    writeln!(out, "#EXTM3U\n#EXT-X-VERSION:{VERSION}")?;
    if all.iter().all(|segment| segment.independent) {
        writeln!(out, "#EXT-X-INDEPENDENT-SEGMENTS")?;
    }
    writeln!(out, "#EXT-X-TARGETDURATION:{}", shape.target_duration)?;
    writeln!(
        out,
        "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={:.3},CAN-SKIP-UNTIL={:.1}",
        shape.part_hold_back(),
        shape.can_skip_until()
    )?;
    writeln!(out, "#EXT-X-PART-INF:PART-TARGET={:.3}", shape.part_target)?;
    let Some(first) = all.first() else { return Ok(()) };
    writeln!(out, "#EXT-X-MEDIA-SEQUENCE:{}", first.msn)?;
    // The tag in front of the first segment, if there is one, counts by itself (section 4.4.3.3).
    let sequence = first.discontinuity_sequence - u64::from(first.discontinuity);
    writeln!(out, "#EXT-X-DISCONTINUITY-SEQUENCE:{sequence}")
}

/// What comes before a segment's parts: that another epoch begins, its init segment, and its time.
fn begin(out: &mut String, segment: &Segment, map: &mut Option<u64>) -> fmt::Result {
    if segment.discontinuity {
        writeln!(out, "#EXT-X-DISCONTINUITY")?;
    }
    // Also at the start of a delta update, which stands for itself then.
    if map.replace(segment.map.id) != Some(segment.map.id) {
        writeln!(out, "#EXT-X-MAP:URI=\"{}\"", Name::Init(segment.map.id))?;
    }
    writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{}", iso_8601(segment.start))
}

fn parts(out: &mut String, segment: &Segment) -> fmt::Result {
    for (number, Part { duration, independent, .. }) in segment.parts.iter().enumerate() {
        let name = Name::Part(segment.msn, number);
        let independent = if *independent { ",INDEPENDENT=YES" } else { "" };
        writeln!(out, "#EXT-X-PART:DURATION={duration:.5},URI=\"{name}\"{independent}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
