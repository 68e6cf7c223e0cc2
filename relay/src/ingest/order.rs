//! Finds out whether a stream's pictures come in the order in which they are shown, and makes its parameter sets say
//! so where they do.
//!
//! Init segments and fragments enter as FFmpeg wrote them; what is to be published leaves, nothing before its access
//! unit has been examined. One [`Order`] lives as long as its stream, over restarts of the source.
//!
//! - A stream that declares nothing is taken to be in order. That cannot show a picture wrong: all up to the first that
//!   is reordered are in order. At that one the epoch ends, before it is published, and another begins with what the
//!   camera sent, from the newest key frame on, so that nobody waits for the next.
//! - A stream that declares a reordering mostly has one. Its first [`PROBED`] pictures are held back until one shows
//!   it; if none does, it is in order.
//! - What was found holds for every later run of the source with the same parameter sets. That pictures are reordered
//!   is taken back at the first key frame after [`QUIET`] pictures that were not: what looked so was damage.
//!
//! An epoch is therefore in order from beginning to end, or it is said to be reordered from its beginning.

use crate::fmp4::Fragment;
use crate::fmp4::decoder_config::DecoderConfig;
use crate::fmp4::init::{InitSegment, PictureOrder};
use crate::fmp4::samples::Samples;
use crate::nal::Declared;
use crate::nal::order::OrderJudge;

/// Pictures that are held back where a reordering is declared. A stream that has B-frames mostly sends the first of
/// them as its third picture, after a key frame and the one it refers to; these are twice as many.
const PROBED: u32 = 6;

/// Pictures after which a stream that shows no further B-frame has none: a minute, mostly. One damaged packet must not
/// have a camera transcoded for good, and an encoder that uses B-frames at all uses them much more often.
const QUIET: u32 = 1500;

/// Most bytes of the current GOP that are kept to be published anew: those of the ring, which shares them. Where a GOP
/// is larger, viewers of a stream that turns out to be reordered wait for the next key frame.
const GOP_BYTES: usize = 32 * 1024 * 1024;

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
pub(super) struct Order {
    /// Whether parameter sets are amended at all.
    amend: bool,
    known: Option<Known>,
    epoch: Option<Epoch>,
}

/// What was found of a stream with these parameter sets.
#[derive(Debug)]
struct Known {
    sets: Vec<u8>,
    phase: Phase,
}

/// What FFmpeg writes between two init segments.
#[derive(Debug)]
struct Epoch {
    init: InitSegment,
    config: DecoderConfig,
    phase: Phase,
    /// None where the parameter sets cannot be read.
    judge: Option<OrderJudge>,
    /// From the newest key frame on; empty where that is too large.
    gop: Vec<Fragment>,
    gop_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Held back; so many pictures were in order.
    Probing(u32),
    InOrder,
    /// So many pictures were in order since the last that was not.
    Reordered(u32),
}

impl Order {
    /// Nothing is known yet. With `amend` the parameter sets of what is in order are made to say so.
    pub(super) fn new(amend: bool) -> Self {
        Self { amend, known: None, epoch: None }
    }

    /// FFmpeg wrote an init segment.
    pub(super) fn init(&mut self, init: InitSegment) -> Vec<Publish> {
        let Some(config) = DecoderConfig::find(&init.bytes) else {
            self.epoch = None;
            return vec![Publish::Epoch(init)];
        };
        let declared = config.declared(&init.bytes).ok();
        let known = self.known.as_ref().filter(|known| known.sets == sets(&config, &init));
        let phase = match (known, declared) {
            (Some(known), _) => known.phase,
            (None, Some(Declared::Reordered(_))) => Phase::Probing(0),
            (None, _) => Phase::InOrder,
        };
        let judge = declared.map(|_| {
            let mut judge = OrderJudge::new(config.layout.family);
            config.units(&init.bytes).for_each(|unit| judge.parameter_set(unit));
            judge
        });
        let epoch = Epoch { init, config, phase, judge, gop: Vec::new(), gop_bytes: 0 };
        let begun = (!matches!(phase, Phase::Probing(_))).then(|| Publish::Epoch(epoch.begin(self.amend)));
        self.epoch = Some(epoch);
        begun.into_iter().collect()
    }

    /// FFmpeg wrote a fragment.
    pub(super) fn fragment(&mut self, fragment: Fragment) -> Vec<Publish> {
        let Some(epoch) = &mut self.epoch else {
            return vec![Publish::Fragment(fragment)];
        };
        epoch.keep(&fragment);
        let before = epoch.phase;
        epoch.phase = match before {
            _ if epoch.is_out_of_order(&fragment) => Phase::Reordered(0),
            Phase::Probing(seen) if seen + 1 < PROBED => Phase::Probing(seen + 1),
            Phase::Reordered(since) if since < QUIET || !fragment.head.keyframe => {
                Phase::Reordered(since.saturating_add(1))
            }
            Phase::Probing(_) | Phase::InOrder | Phase::Reordered(_) => Phase::InOrder,
        };
        match (before, epoch.phase) {
            (_, Phase::Probing(_)) => Vec::new(),
            (Phase::InOrder, Phase::InOrder) | (Phase::Reordered(_), Phase::Reordered(_)) => {
                vec![Publish::Fragment(epoch.form(fragment, self.amend))]
            }
            (_, found) => {
                self.known = Some(Known { sets: sets(&epoch.config, &epoch.init), phase: found });
                epoch.begin_with_gop(self.amend)
            }
        }
    }
}

/// The parameter sets, by which a stream is known again.
fn sets(config: &DecoderConfig, init: &InitSegment) -> Vec<u8> {
    config.units(&init.bytes).collect::<Vec<_>>().concat()
}

impl Epoch {
    /// The init segment to publish.
    fn begin(&self, amend: bool) -> InitSegment {
        let amended = || amend.then(|| self.config.declare_in_order(&self.init.bytes)).flatten();
        let (order, amended) = match self.phase {
            Phase::Reordered(_) => (PictureOrder::Reordered, None),
            Phase::Probing(_) | Phase::InOrder => match amended() {
                Some(amended) => (PictureOrder::Amended, Some(amended)),
                None => (PictureOrder::AsSent, None),
            },
        };
        let bytes = amended.map_or_else(|| self.init.bytes.clone(), Into::into);
        InitSegment { order, bytes, ..self.init.clone() }
    }

    /// A new epoch, and in it everything from the newest key frame on.
    fn begin_with_gop(&self, amend: bool) -> Vec<Publish> {
        let fragments = self.gop.iter().map(|fragment| Publish::Fragment(self.form(fragment.clone(), amend)));
        std::iter::once(Publish::Epoch(self.begin(amend))).chain(fragments).collect()
    }

    /// The form in which a fragment is published.
    fn form(&self, fragment: Fragment, amend: bool) -> Fragment {
        if !amend || matches!(self.phase, Phase::Reordered(_)) {
            return fragment;
        }
        let samples = Samples::find(&fragment.bytes);
        match samples.and_then(|samples| samples.declare_in_order(&fragment.bytes, self.config.layout)) {
            Some(bytes) => Fragment { bytes: bytes.as_slice().into(), ..fragment },
            None => fragment,
        }
    }

    fn keep(&mut self, fragment: &Fragment) {
        if fragment.head.keyframe {
            self.gop.clear();
            self.gop_bytes = 0;
        }
        self.gop_bytes += fragment.bytes.len();
        if self.gop_bytes <= GOP_BYTES {
            self.gop.push(fragment.clone());
        } else {
            self.gop.clear();
        }
    }

    /// Whether one of its pictures is shown before one that came earlier.
    fn is_out_of_order(&mut self, fragment: &Fragment) -> bool {
        let Some(judge) = &mut self.judge else {
            // What can be told without the parameter sets.
            return fragment.head.composition_offset != 0;
        };
        let Some(samples) = Samples::find(&fragment.bytes) else { return false };
        // Every access unit has to be seen, for the places of later ones count from it.
        samples.access_units().fold(false, |found, at| {
            let access_unit = &fragment.bytes[at];
            let units = self.config.layout.units(access_unit).map(|unit| &access_unit[unit]);
            judge.is_out_of_order(units).unwrap_or(false) | found
        })
    }
}

#[cfg(test)]
mod tests;
