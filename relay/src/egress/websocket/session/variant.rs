//! Which variant a session sends, and how it changes from one to another.

use std::time::Duration;

use sightline_protocol::codec::Family;
use sightline_protocol::message::VariantReason;
use sightline_protocol::stream::{Variant, VariantChoice};

use super::super::Socket;
use super::super::ladder::{Rates, Rung};
use super::{Session, Stop};
use crate::egress::select::select;
use crate::hub::rendition::{Purpose, Status, Subscription, Way};

/// What will be sent once it has a key frame to begin with.
pub(super) struct Next {
    subscription: Subscription,
    why: VariantReason,
    /// Not this key frame but a newer one.
    after: Option<u64>,
}

/// Something about [`Next`].
pub(super) enum News {
    /// It can be sent now.
    Ready,
    /// Its source does something else now.
    Status(Status),
}

/// The next thing to know of `next`; never, if there is none.
pub(super) async fn news(next: &mut Option<Next>) -> News {
    match next {
        Some(next) => match next.subscription.keyframe_or_status(next.after).await {
            None => News::Ready,
            Some(status) => News::Status(status),
        },
        None => std::future::pending().await,
    }
}

impl Session<'_> {
    /// Takes hold of the variant that fits, as far as it can be known which that is.
    pub(super) async fn choose(&mut self, socket: &mut Socket) -> Result<(), Stop> {
        let Some((variant, why)) = self.fitting() else {
            return Ok(());
        };
        let up = self.rung == Rung::Light && self.steering.rung() == Rung::Full && why != VariantReason::Requested;
        self.rung = self.steering.rung();
        self.next = None;
        if variant == self.source.rendition().variant() {
            self.why = why;
            return Ok(());
        }
        let rendition = self.stream.rendition(variant);
        // Up only with a new key frame: the GOP so far, all at once, is more than what the link was seen to carry.
        let after = rendition.newest_keyframe().filter(|_| up);
        let mut subscription = rendition.subscribe(Purpose::View(Way::Mse));
        let status = subscription.current_status();
        self.next = Some(Next { subscription, why, after });
        // Between epochs, and before the first, there is no picture that would have to go on meanwhile.
        if self.epoch == 0 || self.init.is_some() {
            return self.change_over(socket).await;
        }
        match status {
            Status::Offline { .. } => self.next_changed(socket, News::Status(status)).await,
            _ => Ok(()),
        }
    }

    /// The variant for this viewer and the reason, once it is known what the camera sends.
    fn fitting(&mut self) -> Option<(Variant, VariantReason)> {
        let camera = self.camera.as_ref()?;
        let wanted = match self.play.variant {
            // There is none: then what fits best of those there are.
            VariantChoice::Low if !self.stream.has_low() => VariantChoice::Auto,
            wanted => wanted,
        };
        let plays_light = self.playable.iter().any(|codec| codec.family() == Family::H264);
        let free = wanted == VariantChoice::Auto && self.stream.has_low() && plays_light;
        self.steering.set_free(free, self.began.elapsed());
        let (full, why) = select(wanted, &self.playable, camera);
        self.full = full;
        Some(match self.steering.rung() {
            Rung::Full => (full, why),
            Rung::Light => (Variant::Low, VariantReason::SlowLink),
        })
    }

    /// What is to be sent next can be, or its source does something else now.
    pub(super) async fn next_changed(&mut self, socket: &mut Socket, news: News) -> Result<(), Stop> {
        match news {
            News::Ready => self.change_over(socket).await,
            News::Status(Status::Offline { .. }) if self.light_failed() => {
                self.do_without_light();
                Ok(())
            }
            News::Status(status @ Status::Offline { .. }) => self.tell(socket, &status).await,
            News::Status(_) => Ok(()),
        }
    }

    /// The source of what is sent does something else now.
    pub(super) async fn source_changed(&mut self, socket: &mut Socket, status: &Status) -> Result<(), Stop> {
        if matches!(status, Status::Offline { .. }) && self.light_failed() {
            self.do_without_light();
            return Ok(());
        }
        self.tell(socket, status).await
    }

    /// Which picture is sent.
    pub(super) fn sending(&self) -> Rung {
        if self.source.rendition().variant() == Variant::Low { Rung::Light } else { Rung::Full }
    }

    /// Whether nothing is sent for the light picture to come.
    pub(super) fn waits_for_light(&self) -> bool {
        self.rung == Rung::Light && self.steering.waits_for_light(self.sending(), self.source.lag(), self.time())
    }

    pub(super) fn tolerated_lag(&self) -> Duration {
        self.steering.tolerated_lag(self.sending(), self.time())
    }

    async fn change_over(&mut self, socket: &mut Socket) -> Result<(), Stop> {
        if let Some(next) = self.next.take() {
            (self.source, self.why) = (next.subscription, next.why);
            self.init = None;
        }
        let status = self.source.current_status();
        self.tell(socket, &status).await
    }

    /// Whether the link wants the light picture and its encoder alone is what failed, not the camera.
    fn light_failed(&self) -> bool {
        self.rung == Rung::Light && !matches!(self.stream.rendition(Variant::Copy).status(), Status::Offline { .. })
    }

    /// What follows from that is chosen with the next turn of the session.
    fn do_without_light(&mut self) {
        self.steering.unavailable(self.time());
    }

    /// Keeps the light picture at hand as long as it may be wanted.
    pub(super) fn stand_by(&mut self) {
        let wanted = self.steering.light_wanted_for(self.time()).is_some();
        if wanted != self.standby.is_some() {
            self.standby = wanted.then(|| self.stream.rendition(Variant::Low).subscribe(Purpose::View(Way::Mse)));
        }
    }

    /// What the two pictures take, while that matters and as far as it is known.
    pub(super) fn rates(&mut self) -> Option<Rates> {
        if self.rung == Rung::Full {
            return None;
        }
        let bytes = |variant| Some(self.stream.rendition(variant).bit_rate()? as f64 / 8.0);
        // Where it is transcoded nobody may hold it any more.
        self.full_rate = bytes(self.full).or(self.full_rate);
        Some(Rates { full: self.full_rate?, light: bytes(Variant::Low)? })
    }
}
