//! Chooses a session's variant and switches between variants.

use std::time::Duration;

use sightline_protocol::codec::Family;
use sightline_protocol::message::VariantReason;
use sightline_protocol::stream::{Variant, VariantChoice};

use super::super::Socket;
use super::super::variant_selector::{Level, Rates};
use super::{Session, SessionEnd};
use crate::egress::select::select;
use crate::hub::rendition::{Protocol, Status, Subscription};

/// The variant that will be sent once it has a key frame.
pub(super) struct NextVariant {
    subscription: Subscription,
    why: VariantReason,
    /// The key frame must be newer than this one.
    after: Option<u64>,
}

/// An event of [`NextVariant`].
pub(super) enum StandbyEvent {
    /// The variant can be sent now.
    Ready,
    /// The variant's source has another status.
    Status(Status),
}

/// Waits for the next event of `next`; pending forever if there is none.
pub(super) async fn standby_event(next: &mut Option<NextVariant>) -> StandbyEvent {
    match next {
        Some(next) => match next.subscription.keyframe_or_status(next.after).await {
            None => StandbyEvent::Ready,
            Some(status) => StandbyEvent::Status(status),
        },
        None => std::future::pending().await,
    }
}

impl Session<'_> {
    /// Subscribes to the variant that fits, if that is known.
    pub(super) async fn choose(&mut self, socket: &mut Socket) -> Result<(), SessionEnd> {
        let Some((variant, why)) = self.fitting() else {
            return Ok(());
        };
        let up =
            self.selection.level == Level::Low && self.abr.level() == Level::Full && why != VariantReason::Requested;
        self.selection.level = self.abr.level();
        self.next = None;
        if variant == self.source.rendition().variant() {
            self.selection.why = why;
            return Ok(());
        }
        // Steps up only at a new key frame: the GOP so far, sent at once, exceeds what the link was seen to carry.
        let after = self.stream.rendition(variant).newest_keyframe().filter(|_| up);
        let mut subscription = self.stream.subscribe(variant, Protocol::Mse);
        let status = subscription.current_status();
        self.next = Some(NextVariant { subscription, why, after });
        // Between epochs and before the first one, no video has to continue meanwhile.
        if self.video.epoch == 0 || self.video.init.is_some() {
            return self.switch(socket).await;
        }
        match status {
            Status::Offline { .. } => self.on_standby_event(socket, StandbyEvent::Status(status)).await,
            _ => Ok(()),
        }
    }

    /// The variant for this viewer and the reason, once the camera's format is known.
    fn fitting(&mut self) -> Option<(Variant, VariantReason)> {
        let camera = self.selection.camera.as_ref()?;
        let wanted = match self.request.play.variant {
            // The stream has no `low`; the automatic choice replaces it.
            VariantChoice::Low if !self.stream.has_low() => VariantChoice::Auto,
            wanted => wanted,
        };
        let plays_low = self.request.playable.iter().any(|codec| codec.family() == Family::H264);
        let free = wanted == VariantChoice::Auto && self.stream.has_low() && plays_low;
        self.abr.set_free(free, self.began.elapsed());
        let (full, why) = select(wanted, &self.request.playable, camera);
        self.selection.full = full;
        Some(match self.abr.level() {
            Level::Full => (full, why),
            Level::Low => (Variant::Low, VariantReason::SlowLink),
        })
    }

    /// Handles an event of the variant that will be sent next.
    pub(super) async fn on_standby_event(
        &mut self,
        socket: &mut Socket,
        event: StandbyEvent,
    ) -> Result<(), SessionEnd> {
        match event {
            StandbyEvent::Ready => self.switch(socket).await,
            StandbyEvent::Status(Status::Offline { .. }) if self.low_failed() => {
                self.drop_low();
                Ok(())
            }
            StandbyEvent::Status(status @ Status::Offline { .. }) => self.send_status(socket, &status).await,
            StandbyEvent::Status(_) => Ok(()),
        }
    }

    /// Handles a change of status of the source that is sent.
    pub(super) async fn on_source_status(&mut self, socket: &mut Socket, status: &Status) -> Result<(), SessionEnd> {
        if matches!(status, Status::Offline { .. }) && self.low_failed() {
            self.drop_low();
            return Ok(());
        }
        self.send_status(socket, status).await
    }

    /// The level of the variant that is sent.
    pub(super) fn sending(&self) -> Level {
        if self.source.rendition().variant() == Variant::Low { Level::Low } else { Level::Full }
    }

    /// Whether sending pauses until `low` has started.
    pub(super) fn waits_for_low(&self) -> bool {
        self.selection.level == Level::Low && self.abr.waits_for_low(self.sending(), self.source.lag(), self.time())
    }

    pub(super) fn tolerated_lag(&self) -> Duration {
        self.abr.tolerated_lag(self.sending(), self.time())
    }

    async fn switch(&mut self, socket: &mut Socket) -> Result<(), SessionEnd> {
        if let Some(next) = self.next.take() {
            (self.source, self.selection.why) = (next.subscription, next.why);
            self.video.init = None;
        }
        let status = self.source.current_status();
        self.send_status(socket, &status).await
    }

    /// Whether `low` is wanted and only its encoder has failed, not the camera.
    fn low_failed(&self) -> bool {
        self.selection.level == Level::Low
            && !matches!(self.stream.rendition(Variant::Copy).status(), Status::Offline { .. })
    }

    /// The next iteration of the session's loop chooses another variant.
    fn drop_low(&mut self) {
        self.abr.unavailable(self.time());
    }

    /// Keeps `low` running while it may be wanted.
    pub(super) fn update_standby(&mut self) {
        let wanted = self.abr.low_wanted_for(self.time()).is_some();
        if wanted != self.standby.is_some() {
            self.standby = wanted.then(|| self.stream.subscribe(Variant::Low, Protocol::Mse));
        }
    }

    /// The rates of both variants while `low` is wanted, as far as they are known.
    pub(super) fn rates(&mut self) -> Option<Rates> {
        if self.selection.level == Level::Full {
            return None;
        }
        let bytes = |variant| Some(self.stream.rendition(variant).bit_rate()? as f64 / 8.0);
        // A transcoded full variant may have stopped: the last rate counts.
        self.selection.full_rate = bytes(self.selection.full).or(self.selection.full_rate);
        Some(Rates { full: self.selection.full_rate?, low: bytes(Variant::Low)? })
    }
}
