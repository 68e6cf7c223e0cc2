//! Writes the media playlist (RFC 8216bis, section 4) of a window.
//!
//! Written without a library: it has a dozen tags. Among the crates with low-latency tags, quick-m3u8 0.8 omits the comma after
//! a segment's duration (section 4.4.4.1).

use std::fmt::{self, Write as _};

use jiff::Timestamp;

use super::file_name::{FileName, RenditionName};
use super::segment::{Part, Segment};
use super::target_duration::TargetDurations;
use super::window::Window;

/// The lowest version with all these tags (section 8): EXT-X-SKIP requires 9.
pub(super) const VERSION: u32 = 9;
/// Distance from the end within which parts are listed, in target durations (section 4.4.4.9).
const PARTS: f64 = 3.0;

/// The newest media of another rendition (section 4.4.5.4), for players that switch to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RenditionReport {
    pub(super) rendition: RenditionName,
    pub(super) last_msn: u64,
    pub(super) last_part: Option<usize>,
}

impl RenditionReport {
    /// The report of `rendition`. `None` while it lists nothing.
    pub(super) fn of(rendition: RenditionName, window: &Window) -> Option<Self> {
        window.durations()?;
        let last = window.open().or(window.listed().next_back())?;
        Some(Self { rendition, last_msn: last.msn, last_part: last.parts.len().checked_sub(1) })
    }
}

/// The playlist of `window`, or `None` while it lists nothing. With `delta`, a delta update without the older segments (section
/// 6.2.5.1), if that skips any.
pub(super) fn media(window: &Window, delta: bool, reports: &[RenditionReport]) -> Option<String> {
    let mut text = String::new();
    let written = write(&mut text, window, window.durations()?, delta, reports);
    written.expect("a String takes everything");
    Some(text)
}

fn write(
    out: &mut String,
    window: &Window,
    durations: TargetDurations,
    delta: bool,
    reports: &[RenditionReport],
) -> fmt::Result {
    let all: Vec<&Segment> = window.listed().collect();
    header(out, durations, &all)?;
    let end = window.open().or(all.last().copied()).map_or(0.0, Segment::end);
    let skipped = if delta {
        let old = |segment: &&&Segment| segment.end() <= end - durations.can_skip_until();
        all.iter().take_while(old).count()
    } else {
        0
    };
    if skipped > 0 {
        writeln!(out, "#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}")?;
    }
    let mut map = None;
    let parts_from = end - PARTS * f64::from(durations.target_duration);
    for segment in all[skipped..].iter().copied() {
        begin(out, segment, &mut map)?;
        if segment.gap {
            writeln!(out, "#EXT-X-GAP")?;
        } else if segment.end() > parts_from {
            parts(out, segment)?;
        }
        writeln!(out, "#EXTINF:{:.5},\n{}", segment.duration, FileName::Segment(segment.msn))?;
    }
    if let Some(open) = window.open() {
        begin(out, open, &mut map)?;
        parts(out, open)?;
    }
    let (msn, part) = window.hint();
    writeln!(out, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{}\"", FileName::Part(msn, part))?;
    for RenditionReport { rendition, last_msn, last_part } in reports {
        let playlist = FileName::Playlist;
        write!(out, "#EXT-X-RENDITION-REPORT:URI=\"../{rendition}/{playlist}\",LAST-MSN={last_msn}")?;
        last_part.map_or(Ok(()), |part| write!(out, ",LAST-PART={part}"))?;
        writeln!(out)?;
    }
    Ok(())
}

fn header(out: &mut String, durations: TargetDurations, all: &[&Segment]) -> fmt::Result {
    writeln!(out, "#EXTM3U\n#EXT-X-VERSION:{VERSION}")?;
    if all.iter().all(|segment| segment.independent) {
        writeln!(out, "#EXT-X-INDEPENDENT-SEGMENTS")?;
    }
    writeln!(out, "#EXT-X-TARGETDURATION:{}", durations.target_duration)?;
    writeln!(
        out,
        "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={:.3},CAN-SKIP-UNTIL={:.1}",
        durations.part_hold_back(),
        durations.can_skip_until()
    )?;
    writeln!(out, "#EXT-X-PART-INF:PART-TARGET={:.3}", durations.part_target)?;
    let Some(first) = all.first() else { return Ok(()) };
    writeln!(out, "#EXT-X-MEDIA-SEQUENCE:{}", first.msn)?;
    // A discontinuity tag before the first segment counts separately (section 4.4.3.3).
    let sequence = first.discontinuity_sequence - u64::from(first.discontinuity);
    writeln!(out, "#EXT-X-DISCONTINUITY-SEQUENCE:{sequence}")
}

/// Tags before a segment's parts: discontinuity, init segment and date.
fn begin(out: &mut String, segment: &Segment, map: &mut Option<u64>) -> fmt::Result {
    if segment.discontinuity {
        writeln!(out, "#EXT-X-DISCONTINUITY")?;
    }
    // Also at the start of a delta update, which must be self-contained, and for audio that continues with the same one after a
    // discontinuity, where players may drop it.
    if map.replace(segment.map.id) != Some(segment.map.id) || segment.discontinuity {
        writeln!(out, "#EXT-X-MAP:URI=\"{}\"", FileName::Init(segment.map.id))?;
    }
    writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{:.3}", date(segment.start))
}

/// `unix` seconds since the Unix epoch, rounded to milliseconds.
fn date(unix: f64) -> Timestamp {
    // Fails only beyond the year 9999, and a capture time ends with NTP's era in 2036.
    Timestamp::from_millisecond((unix * 1e3).round() as i64).unwrap_or(Timestamp::MAX)
}

fn parts(out: &mut String, segment: &Segment) -> fmt::Result {
    for (number, Part { duration, independent, .. }) in segment.parts.iter().enumerate() {
        let name = FileName::Part(segment.msn, number);
        let independent = if *independent { ",INDEPENDENT=YES" } else { "" };
        writeln!(out, "#EXT-X-PART:DURATION={duration:.5},URI=\"{name}\"{independent}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
