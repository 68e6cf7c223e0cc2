//! A session's media: from the ring into messages.

use std::time::Duration;

use sightline_protocol::codec::VideoCodec;
use sightline_protocol::message::{GapReason, Ready, ServerMessage};
use sightline_protocol::stream::Variant;

use super::super::Socket;
use super::audio::Beginning;
use super::{Session, Stop};
use crate::egress::select::CameraFormat;
use crate::fmp4::Fragment;
use crate::fmp4::framed::Framed;
use crate::fmp4::init::PictureOrder;
use crate::hub::rendition::Event;
use crate::hub::ring::Step;

impl Session<'_> {
    pub(super) async fn forward(&mut self, socket: &mut Socket, event: Event) -> Result<(), Stop> {
        match event {
            Event::Status(status) => self.source_changed(socket, &status).await,
            Event::Step(Step::Init(init)) => {
                self.init = Some(init);
                Ok(())
            }
            Event::Step(Step::Fragment(fragment)) => self.send(socket, fragment).await,
            Event::Step(Step::Overrun(skipped)) => self.send_gap(socket, skipped, GapReason::Overrun).await,
            Event::Step(Step::Pending) => Ok(()),
        }
    }

    /// Leaves out what is older than the newest key frame, if the next fragment is more than `tolerated` old.
    pub(super) async fn skip(&mut self, socket: &mut Socket, tolerated: Duration, why: GapReason) -> Result<(), Stop> {
        match self.source.skip_if_behind(tolerated, why) {
            0 => Ok(()),
            skipped => self.send_gap(socket, skipped, why).await,
        }
    }

    async fn send(&mut self, socket: &mut Socket, fragment: Fragment) -> Result<(), Stop> {
        if self.source.rendition().variant() == Variant::Copy && self.camera_changed() {
            self.choose(socket).await?;
            if self.source.rendition().variant() != Variant::Copy {
                return Ok(());
            }
        }
        if let Some(init) = self.init.take() {
            self.epoch += 1;
            let rendition = self.source.rendition();
            self.steering.begin(rendition.bit_rate().map(|bits| bits as f64 / 8.0), self.began.elapsed());
            let ready = Ready {
                epoch: self.epoch,
                variant: rendition.variant(),
                why: self.why,
                tracks: vec![init.track(rendition.frame_rate())],
                audio: self.stream.tap().audio().is_some(),
            };
            socket.send_text(ServerMessage::Ready(ready).to_json()).await?;
            self.send_init(socket, init.bytes.clone()).await?;
            let time = init.time(fragment.head.decode_time);
            self.picture = Some(Beginning { timeline: init.timeline, time });
        }
        let lag = self.source.lag();
        self.send_fragment(socket, &fragment.bytes, lag).await?;
        if lag.is_zero() {
            return Ok(());
        }
        self.skip(socket, self.tolerated_lag(), GapReason::Behind).await
    }

    /// Takes note of what the camera sends, which is the same for a whole epoch; says whether there is a new one.
    fn camera_changed(&mut self) -> bool {
        if let Some(init) = &self.init {
            let b_frames = init.order == PictureOrder::Reordered;
            let format = |codec: &VideoCodec| CameraFormat { codec: codec.clone(), b_frames };
            self.camera = init.video_codec().map(format);
        }
        self.init.is_some()
    }

    pub(super) async fn send_init(&mut self, socket: &mut Socket, init: bytes::Bytes) -> Result<(), Stop> {
        self.steering.sent(init.len(), Duration::ZERO, self.time());
        Ok(socket.send_init(init).await?)
    }

    /// Sends a fragment, after the picture has `waited` for a permit.
    pub(super) async fn send_fragment(
        &mut self,
        socket: &mut Socket,
        bytes: &Framed,
        waited: Duration,
    ) -> Result<(), Stop> {
        self.steering.sent(bytes.len(), waited, self.time());
        Ok(socket.send_fragment(bytes).await?)
    }

    async fn send_gap(&mut self, socket: &mut Socket, skipped: u64, why: GapReason) -> Result<(), Stop> {
        Ok(socket.send_text(ServerMessage::Gap { skipped, why }.to_json()).await?)
    }
}
