//! Reads one viewer's video: the epochs and frames of the variant that fits the viewer, and the status of its source.
//!
//! A reader starts with `copy`, because the camera's format decides the variant. While another variant starts, it yields the
//! previous one, so that the video never stops. Between epochs no video has to continue, and it switches at once. It begins
//! with the status of its source, and so it does after a switch.
//!
//! A camera's sub stream is `low`. A viewer with a tile that it fills, or who chose `low`, gets it from the start, without the
//! camera's main stream. A viewer that does not play it never gets it.
//!
//! It holds subscriptions and no queue. [`VariantReader::poll`] reads no clock and needs no runtime; [`VariantReader::next`]
//! waits. HLS packages each variant for all its viewers and needs no choice.

use std::sync::Arc;
use std::time::Duration;

use sightline_media::fmp4::Fragment;
use sightline_media::fmp4::init::InitSegment;
use sightline_protocol::message::{GapReason, Ready, Size, VariantReason};
use sightline_protocol::stream::Variant;
use tracing::debug;

use super::select::{CameraFormat, Wanted, fills};
use crate::hub::Stream;
use crate::hub::rendition::{Protocol, Rendition, Status, Subscription};
use crate::hub::ring::Step;

/// What a [`VariantReader`] yields.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum VideoEvent {
    /// Frames of this epoch follow, beginning with a key frame.
    Epoch(Arc<InitSegment>),
    /// The next frame.
    Frame(Arc<Fragment>),
    /// The ring has dropped this many frames before the next one, which is a key frame.
    Gap(u64),
    /// The source's status, or the failure of a variant that was to be sent next.
    Status(Status),
}

/// The variant that will be sent once it has a key frame.
#[derive(Debug)]
struct NextVariant {
    subscription: Subscription,
    why: VariantReason,
    /// The key frame must be newer than this one.
    after: Option<u64>,
}

/// What decides for the camera's sub stream, besides the link.
#[derive(Debug)]
struct SubStream {
    /// The size at which the video is shown, if the viewer has told it.
    shown: Option<Size>,
    /// Whether it replaces the wanted variant, because it fills that size.
    is_chosen: bool,
    /// Whether the viewer does not play it.
    is_unplayable: bool,
}

/// See the [module](self). Flat: each choice reads what the viewer wants, the camera's format and the present variant together.
#[derive(Debug)]
pub(super) struct VariantReader {
    stream: Stream,
    protocol: Protocol,
    /// What the viewer asked for.
    asked: Wanted,
    /// The same, or the relay's choice in place of a `low` that the viewer cannot get.
    wanted: Wanted,
    /// Why the viewer does not get the quality `low` that it asked for.
    no_low: Option<VariantReason>,
    /// Whether `wanted` may have changed since the last choice.
    is_changed: bool,
    /// The camera's format, once it is known.
    camera: Option<CameraFormat>,
    /// Whether `low` replaces the wanted variant, because the link does not carry that.
    low: bool,
    sub: SubStream,
    /// The variant that is sent, or awaited.
    source: Subscription,
    why: VariantReason,
    /// The variant that replaces `source`.
    next: Option<NextVariant>,
    /// `low`, kept running while it may soon be wanted.
    standby: Option<Subscription>,
    /// A status to yield first.
    status: Option<Status>,
    /// Whether a frame was yielded.
    begun: bool,
    /// Whether no frame of the present epoch was yielded.
    between_epochs: bool,
}

impl VariantReader {
    /// A reader that starts with `first`, a subscription to the [`first_variant`] of `stream`, or to its `copy`.
    pub(super) fn new(stream: Stream, protocol: Protocol, mut first: Subscription, wanted: Wanted) -> Self {
        let status = Some(first.current_status());
        let why = match first.rendition().variant() {
            Variant::Low if wanted.is_low() => VariantReason::Requested,
            Variant::Low => VariantReason::SmallSize,
            Variant::Copy | Variant::H264 => VariantReason::Untouched,
        };
        let is_chosen = why == VariantReason::SmallSize;
        let mut reader = Self {
            stream,
            protocol,
            asked: wanted.clone(),
            wanted,
            no_low: None,
            is_changed: true,
            camera: None,
            low: false,
            sub: SubStream { shown: None, is_chosen, is_unplayable: false },
            source: first,
            why,
            next: None,
            standby: None,
            status,
            begun: false,
            between_epochs: true,
        };
        reader.update_wanted();
        reader
    }

    /// Sets what the viewer wants, for the next [`Self::follow`]. The relay's choice replaces a `low` that the viewer cannot get.
    pub(super) fn want(&mut self, wanted: Wanted) {
        self.asked = wanted;
        self.update_wanted();
    }

    fn update_wanted(&mut self) {
        let missing = self.asked.is_low().then(|| self.why_not_low()).flatten();
        self.wanted = if missing.is_some() { self.asked.automatic() } else { self.asked.clone() };
        // Clients of before this choice, which ask by the codec, do not know the reasons.
        self.no_low = missing.filter(|_| self.asked.is_low_quality());
        self.is_changed = true;
    }

    /// Why a viewer that asked for `low` does not get it.
    fn why_not_low(&self) -> Option<VariantReason> {
        let has_sub = self.stream.has_sub();
        match self.sub {
            _ if !self.stream.has_low() => Some(VariantReason::NoLow),
            SubStream { is_unplayable: true, .. } if has_sub => Some(VariantReason::LowNotPlayable),
            _ => None,
        }
    }

    /// The rendition that is sent, or awaited.
    pub(super) fn rendition(&self) -> &Arc<Rendition> {
        self.source.rendition()
    }

    /// Its variant.
    pub(super) fn variant(&self) -> Variant {
        self.rendition().variant()
    }

    /// Whether that is the camera's sub stream.
    pub(super) fn is_sub(&self) -> bool {
        self.stream.is_sub(self.variant())
    }

    /// The reason for the variant that is sent, or awaited. `None` while another one is to replace it.
    pub(super) fn settled_reason(&self) -> Option<VariantReason> {
        self.next.is_none().then_some(self.why)
    }

    /// The message that announces the epoch of `init`, as number `epoch` of the session.
    pub(super) fn ready(&self, init: &InitSegment, epoch: u32, audio: bool) -> Ready {
        let tracks = vec![init.track(self.rendition().frame_rate())];
        Ready { epoch, variant: self.variant(), why: self.why, tracks, audio }
    }

    /// The variant that will be sent. `None` until the source runs and the camera's format is known.
    pub(super) fn expected_variant(&self) -> Option<Variant> {
        if self.starts_low() {
            return (self.stream.rendition(Variant::Low).status() == Status::Live).then_some(Variant::Low);
        }
        let copy = self.stream.rendition(Variant::Copy);
        let init = (copy.status() == Status::Live).then(|| copy.init())??;
        Some(self.wanted.select(&CameraFormat::of(&init)?).0)
    }

    /// The wanted variant, once the camera's format is known.
    pub(super) fn full_variant(&self) -> Option<Variant> {
        Some(self.wanted.select(self.camera.as_ref()?).0)
    }

    /// Whether `low` is chosen because of the link.
    pub(super) fn is_low_chosen(&self) -> bool {
        self.low
    }

    /// Whether the link may decide for `low`, once the camera's format is known. While the tile is small, it is sent anyway.
    pub(super) fn may_choose_low(&self) -> bool {
        let may = if self.stream.has_sub() {
            self.wanted.is_automatic() && !self.sub.is_chosen && !self.sub.is_unplayable
        } else {
            self.wanted.allows_low()
        };
        self.camera.is_some() && self.stream.has_low() && may
    }

    /// Whether the sub stream is chosen because of the tile's size.
    pub(super) fn is_small(&self) -> bool {
        self.sub.is_chosen
    }

    /// Sets the size at which the video is shown, for the next [`Self::follow`].
    pub(super) fn set_shown(&mut self, shown: Option<Size>) {
        self.sub.shown = shown;
    }

    /// Chooses the variant again if the viewer's wish, the link's verdict `low`, or the verdict on the size has changed. The sub
    /// stream replaces the main stream for its size only if it is `available`.
    pub(super) fn follow(&mut self, low: bool, available: bool) {
        let SubStream { shown, is_chosen, is_unplayable, .. } = self.sub;
        let fills = |shown| is_filled_by_sub(&self.stream, &self.wanted, shown, is_chosen);
        let small = available && !is_unplayable && shown.is_some_and(fills);
        if self.is_changed || low != self.low || small != is_chosen {
            self.sub.is_chosen = small;
            self.choose(low);
        }
    }

    /// The duration of media that waits in the ring.
    pub(super) fn lag(&self) -> Duration {
        self.source.lag()
    }

    /// Skips to the newest key frame if the lag exceeds `tolerated`. Returns the number of skipped frames.
    pub(super) fn skip_if_behind(&mut self, tolerated: Duration, why: GapReason) -> u64 {
        self.source.skip_if_behind(tolerated, why)
    }

    /// Restarts with the init segment and the newest key frame.
    pub(super) fn rewind(&mut self) {
        self.source.rewind();
        self.between_epochs = !self.begun;
    }

    /// Keeps `low` running, or no longer.
    pub(super) fn keep_low(&mut self, wanted: bool) {
        if wanted != self.standby.is_some() {
            self.standby = wanted.then(|| self.stream.subscribe(Variant::Low, self.protocol));
        }
    }

    /// Chooses the variant again. `low` says that the link carries only that.
    pub(super) fn choose(&mut self, low: bool) {
        let (variant, why) = match &self.camera {
            _ if low => (Variant::Low, VariantReason::SlowLink),
            _ if self.starts_low() => (Variant::Low, VariantReason::Requested),
            _ if self.sub.is_chosen => (Variant::Low, VariantReason::SmallSize),
            Some(camera) => self.wanted.select(camera),
            // The format decides, once `copy` runs.
            None => (Variant::Copy, VariantReason::Untouched),
        };
        let why = self.no_low.filter(|_| variant != Variant::Low).unwrap_or(why);
        let up = self.low && !low && why != VariantReason::Requested;
        (self.low, self.is_changed) = (low, false);
        let given_up = self.next.take();
        if variant == self.variant() {
            self.why = why;
            let is_offline =
                |next: NextVariant| matches!(next.subscription.rendition().status(), Status::Offline { .. });
            if given_up.is_some_and(is_offline) {
                // The viewer was told the status of a variant that it does not await any more.
                self.status = Some(self.source.current_status());
            }
            return;
        }
        // Steps up only at a new key frame: the GOP so far, sent at once, exceeds what the link was seen to carry.
        let after = self.stream.rendition(variant).newest_keyframe().filter(|_| up);
        let mut subscription = self.stream.subscribe(variant, self.protocol);
        let status = subscription.current_status();
        self.next = Some(NextVariant { subscription, why, after });
        if self.between_epochs {
            self.switch();
        } else if matches!(status, Status::Offline { .. }) {
            self.status = Some(status);
        }
    }

    /// Whether the viewer chose `low`, and the camera's format does not matter for it.
    fn starts_low(&self) -> bool {
        self.wanted.is_low() && self.stream.has_sub()
    }

    fn switch(&mut self) {
        let Some(next) = self.next.take() else { return };
        (self.source, self.why) = (next.subscription, next.why);
        self.between_epochs = !self.begun;
        self.status = Some(self.source.current_status());
    }

    /// The next event, if there is one. Without `may_send`, only a status.
    pub(super) fn poll(&mut self, may_send: bool) -> Option<VideoEvent> {
        self.poll_status().or_else(|| if may_send { self.poll_media() } else { None }).or_else(|| self.poll_changes())
    }

    fn poll_status(&mut self) -> Option<VideoEvent> {
        self.status.take().map(VideoEvent::Status)
    }

    fn poll_media(&mut self) -> Option<VideoEvent> {
        match self.source.step() {
            Step::Pending => None,
            Step::Init(init) => self.begin(init),
            Step::Fragment(fragment) => {
                (self.begun, self.between_epochs) = (true, false);
                Some(VideoEvent::Frame(fragment))
            }
            Step::Overrun(lost) => Some(VideoEvent::Gap(lost)),
        }
    }

    /// Starts an epoch, unless the camera's new format requires another variant.
    fn begin(&mut self, init: Arc<InitSegment>) -> Option<VideoEvent> {
        self.between_epochs = true;
        if self.is_unplayable_sub(&init) {
            return self.refuse_sub();
        }
        if self.variant() == Variant::Copy {
            self.camera = CameraFormat::of(&init);
            self.choose(self.low);
            if self.variant() != Variant::Copy {
                return self.poll_status();
            }
        }
        Some(VideoEvent::Epoch(init))
    }

    /// Whether this is the init segment of a sub stream that the viewer does not play.
    fn is_unplayable_sub(&self, init: &InitSegment) -> bool {
        self.is_sub() && CameraFormat::of(init).is_none_or(|format| !self.wanted.plays(&format))
    }

    /// Does without the sub stream from now on.
    fn refuse_sub(&mut self) -> Option<VideoEvent> {
        debug!(rendition = self.rendition().label(), "a viewer does not play the sub stream; it gets the main stream");
        (self.sub.is_unplayable, self.sub.is_chosen) = (true, false);
        self.update_wanted();
        self.choose(false);
        self.poll_status()
    }

    /// Changes of status, and of the variant.
    fn poll_changes(&mut self) -> Option<VideoEvent> {
        if let Some(status) = self.source.status_change() {
            return Some(VideoEvent::Status(status));
        }
        let next = self.next.as_mut()?;
        if next.subscription.rendition().newest_keyframe() > next.after {
            self.switch();
            return self.poll_status();
        }
        let status = next.subscription.status_change()?;
        matches!(status, Status::Offline { .. }).then_some(VideoEvent::Status(status))
    }

    /// Waits for the next event. Without `may_send`, only for a status. Cancel-safe.
    pub(super) async fn next(&mut self, may_send: bool) -> VideoEvent {
        loop {
            self.source.mark_seen();
            if let Some(next) = &mut self.next {
                next.subscription.mark_seen();
            }
            if let Some(event) = self.poll(may_send) {
                return event;
            }
            let (source, next) = (&mut self.source, &mut self.next);
            let status = async {
                if may_send {
                    source.published().await;
                    return None;
                }
                // A frame that may not be sent wakes no viewer.
                Some(source.next_status().await)
            };
            let next = async {
                match next {
                    Some(next) => next.subscription.published().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                status = status => self.status = status,
                () = next => {}
            }
        }
    }
}

/// Whether the sub stream of `stream` fills a tile of size `shown`. `sent` says that the viewer is sent it now.
fn is_filled_by_sub(stream: &Stream, wanted: &Wanted, shown: Size, sent: bool) -> bool {
    let size = || stream.rendition(Variant::Low).init().and_then(|init| init.size);
    stream.has_sub() && wanted.is_automatic() && fills(size(), shown, sent)
}

/// The variant with which a viewer's reader starts, for video `shown` at that size. It is the sub stream, if the viewer chose
/// `low` or its tile is small, and otherwise `copy`.
pub(super) fn first_variant(stream: &Stream, wanted: &Wanted, shown: Option<Size>) -> Variant {
    let sub = stream.rendition(Variant::Low);
    let is_offline = || matches!(sub.status(), Status::Offline { .. });
    let is_playable = || sub.init().and_then(|init| CameraFormat::of(&init)).is_none_or(|format| wanted.plays(&format));
    let small = shown.is_some_and(|shown| is_filled_by_sub(stream, wanted, shown, false)) && !is_offline();
    let asked = wanted.is_low() && stream.has_sub();
    if (small || asked) && is_playable() { Variant::Low } else { Variant::Copy }
}

#[cfg(test)]
mod tests;
