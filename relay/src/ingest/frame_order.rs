//! Detects whether a stream's frames are reordered. Amends the parameter sets of a stream in order so that they declare it.
//!
//! Input: init segments and fragments of either reader. Output: the epochs and fragments to publish, after each access unit
//! has been examined. One [`FrameOrder`] lives as long as its stream, across restarts of the source.
//!
//! - A stream that declares nothing is taken to be in order. All frames before the first reordered one are in order, so none is
//!   shown wrong. The epoch ends before the first reordered frame. A new epoch starts with the camera's own bytes from the newest
//!   key frame on, so no viewer waits for the next key frame.
//! - A stream that declares a reordering mostly has one. Its first [`PROBE_FRAMES`] frames are held back until one is
//!   reordered; if none is, the stream is in order.
//! - The result holds for every later run of the source with the same parameter sets. "Reordered" is dropped at the first key
//!   frame after [`REORDER_EXPIRY_FRAMES`] frames in order: a damaged packet looks like a reordered frame.
//!
//! An epoch is therefore in order from beginning to end, or it is said to be reordered from its beginning.

use sightline_media::fmp4::Fragment;
use sightline_media::fmp4::decoder_config::DecoderConfig;
use sightline_media::fmp4::init::{InitSegment, Reordering};
use sightline_media::nal::DeclaredReordering;
use sightline_media::nal::reorder_detector::ReorderDetector;

/// Frames held back if a reordering is declared. The first B-frame of a stream is usually its third frame, after a key frame
/// and the frame it refers to; this is twice as many.
const PROBE_FRAMES: u32 = 6;

/// Frames in order after which a stream no longer counts as reordered: usually a minute. One damaged packet must not cause a
/// permanent transcode, and an encoder with B-frames uses them much more often.
const REORDER_EXPIRY_FRAMES: u32 = 1500;

/// Most bytes of the current GOP that are kept for a second publication: those of the ring, which shares them. Where a GOP
/// is larger, viewers of a stream that turns out to be reordered wait for the next key frame.
const GOP_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What is to be published.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Publish {
    /// A new epoch.
    Epoch(InitSegment),
    /// Its next fragment.
    Fragment(Fragment),
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct FrameOrder {
    /// Whether parameter sets are amended at all.
    amend: bool,
    learned: Option<LearnedOrder>,
    epoch: Option<SourceEpoch>,
}

/// The result for a stream with these parameter sets.
#[derive(Debug)]
struct LearnedOrder {
    sets: Vec<u8>,
    phase: Phase,
}

/// What FFmpeg writes between two init segments.
#[derive(Debug)]
struct SourceEpoch {
    init: InitSegment,
    config: DecoderConfig,
    phase: Phase,
    /// None where the parameter sets cannot be read.
    detector: Option<ReorderDetector>,
    /// From the newest key frame on; empty where that is too large.
    gop: Vec<Fragment>,
    gop_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Frames are held back; this many were in order.
    Probing(u32),
    InOrder,
    /// The number of frames in order since the last reordered one.
    Reordered(u32),
}

impl FrameOrder {
    /// Starts without a result. With `amend`, the parameter sets of a stream in order declare it.
    pub(super) fn new(amend: bool) -> Self {
        Self { amend, learned: None, epoch: None }
    }

    /// Drops the frames of a run that has ended. Keeps what it has learned of the source.
    pub(super) fn end_epoch(&mut self) {
        self.epoch = None;
    }

    /// Takes the next init segment. Returns what to publish.
    pub(super) fn push_init(&mut self, init: InitSegment) -> Vec<Publish> {
        let Some(config) = DecoderConfig::find(&init.bytes) else {
            self.epoch = None;
            return vec![Publish::Epoch(init)];
        };
        let declared = config.declared_reordering(&init.bytes).ok();
        let learned = self.learned.as_ref().filter(|learned| learned.sets == sets(&config, &init));
        let phase = match (learned, declared) {
            (Some(learned), _) => learned.phase,
            (None, Some(DeclaredReordering::AtMost(_))) => Phase::Probing(0),
            (None, _) => Phase::InOrder,
        };
        let detector = declared.map(|_| {
            let mut detector = ReorderDetector::new(config.layout.family);
            config.units(&init.bytes).for_each(|unit| detector.parameter_set(unit));
            detector
        });
        let epoch = SourceEpoch { init, config, phase, detector, gop: Vec::new(), gop_bytes: 0 };
        let begun = (!matches!(phase, Phase::Probing(_))).then(|| Publish::Epoch(epoch.begin(self.amend)));
        self.epoch = Some(epoch);
        begun.into_iter().collect()
    }

    /// Takes the next fragment. Returns what to publish.
    pub(super) fn push_fragment(&mut self, fragment: Fragment) -> Vec<Publish> {
        let Some(epoch) = &mut self.epoch else {
            return vec![Publish::Fragment(fragment)];
        };
        epoch.keep(&fragment);
        let before = epoch.phase;
        epoch.phase = match before {
            _ if epoch.is_out_of_order(&fragment) => Phase::Reordered(0),
            Phase::Probing(seen) if seen + 1 < PROBE_FRAMES => Phase::Probing(seen + 1),
            Phase::Reordered(since) if since < REORDER_EXPIRY_FRAMES || !fragment.head.keyframe => {
                Phase::Reordered(since.saturating_add(1))
            }
            Phase::Probing(_) | Phase::InOrder | Phase::Reordered(_) => Phase::InOrder,
        };
        match (before, epoch.phase) {
            (_, Phase::Probing(_)) => Vec::new(),
            (Phase::InOrder, Phase::InOrder) | (Phase::Reordered(_), Phase::Reordered(_)) => {
                vec![Publish::Fragment(epoch.amended(fragment, self.amend))]
            }
            (_, found) => {
                self.learned = Some(LearnedOrder { sets: sets(&epoch.config, &epoch.init), phase: found });
                epoch.begin_with_gop(self.amend)
            }
        }
    }
}

/// The parameter sets, by which a stream is known again.
fn sets(config: &DecoderConfig, init: &InitSegment) -> Vec<u8> {
    config.units(&init.bytes).collect::<Vec<_>>().concat()
}

impl SourceEpoch {
    /// The init segment to publish.
    fn begin(&self, amend: bool) -> InitSegment {
        let sets = || amend.then(|| self.config.set_no_reorder(&self.init.bytes)).flatten();
        let (reordering, amended) = match self.phase {
            Phase::Reordered(_) => (Reordering::Present, None),
            Phase::Probing(_) | Phase::InOrder => match sets() {
                Some(amended) => (Reordering::AbsentDeclared, Some(amended)),
                None => (Reordering::Absent, None),
            },
        };
        let bytes = amended.map_or_else(|| self.init.bytes.clone(), Into::into);
        InitSegment { reordering, bytes, ..self.init.clone() }
    }

    /// A new epoch, and in it everything from the newest key frame on.
    fn begin_with_gop(&self, amend: bool) -> Vec<Publish> {
        let fragments = self.gop.iter().map(|fragment| Publish::Fragment(self.amended(fragment.clone(), amend)));
        std::iter::once(Publish::Epoch(self.begin(amend))).chain(fragments).collect()
    }

    /// The form in which a fragment is published.
    fn amended(&self, fragment: Fragment, amend: bool) -> Fragment {
        if !amend || matches!(self.phase, Phase::Reordered(_)) {
            return fragment;
        }
        fragment.set_no_reorder(self.config.layout)
    }

    fn keep(&mut self, fragment: &Fragment) {
        if fragment.head.keyframe {
            self.gop.clear();
            self.gop_bytes = 0;
        }
        self.gop_bytes += fragment.bytes.len();
        if self.gop_bytes <= GOP_BYTES_MAX {
            self.gop.push(fragment.clone());
        } else {
            self.gop.clear();
        }
    }

    /// Whether a frame of the fragment precedes an earlier one in presentation order.
    fn is_out_of_order(&mut self, fragment: &Fragment) -> bool {
        let Some(detector) = &mut self.detector else {
            // The only sign without parameter sets.
            return fragment.head.composition_offset != 0;
        };
        // The detector must see every access unit: picture order counts are relative to earlier ones.
        fragment.access_units().fold(false, |found, access_unit| {
            let units = self.config.layout.units(access_unit).map(|unit| &access_unit[unit]);
            detector.is_out_of_order(units).unwrap_or(false) | found
        })
    }
}

#[cfg(test)]
mod tests;
