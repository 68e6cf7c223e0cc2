//! A session's media: reads fragments from the ring and sends them as messages.

use std::time::Duration;

use sightline_media::fmp4::Fragment;
use sightline_media::fmp4::init::Reordering;
use sightline_media::fmp4::websocket_frame::WebSocketFrame;
use sightline_protocol::codec::VideoCodec;
use sightline_protocol::message::{GapReason, Ready, ServerMessage};
use sightline_protocol::stream::Variant;

use super::super::Socket;
use super::audio::VideoStart;
use super::{Session, SessionEnd};
use crate::egress::select::CameraFormat;
use crate::hub::rendition::Event;
use crate::hub::ring::Step;

impl Session<'_> {
    pub(super) async fn forward(&mut self, socket: &mut Socket, event: Event) -> Result<(), SessionEnd> {
        match event {
            Event::Status(status) => self.on_source_status(socket, &status).await,
            Event::Step(Step::Init(init)) => {
                self.video.init = Some(init);
                Ok(())
            }
            Event::Step(Step::Fragment(fragment)) => self.send(socket, fragment).await,
            Event::Step(Step::Overrun(skipped)) => self.send_gap(socket, skipped, GapReason::Overrun).await,
            Event::Step(Step::Pending) => Ok(()),
        }
    }

    /// Skips to the newest key frame if the lag exceeds `tolerated`.
    pub(super) async fn skip(
        &mut self,
        socket: &mut Socket,
        tolerated: Duration,
        why: GapReason,
    ) -> Result<(), SessionEnd> {
        match self.source.skip_if_behind(tolerated, why) {
            0 => Ok(()),
            skipped => self.send_gap(socket, skipped, why).await,
        }
    }

    async fn send(&mut self, socket: &mut Socket, fragment: Fragment) -> Result<(), SessionEnd> {
        if self.source.rendition().variant() == Variant::Copy && self.camera_changed() {
            self.choose(socket).await?;
            if self.source.rendition().variant() != Variant::Copy {
                return Ok(());
            }
        }
        if let Some(init) = self.video.init.take() {
            self.video.epoch += 1;
            let rendition = self.source.rendition();
            self.abr.begin(rendition.bit_rate().map(|bits| bits as f64 / 8.0), self.began.elapsed());
            let ready = Ready {
                epoch: self.video.epoch,
                variant: rendition.variant(),
                why: self.selection.why,
                tracks: vec![init.track(rendition.frame_rate())],
                audio: self.stream.audio_buffer().audio().is_some(),
            };
            socket.send_text(ServerMessage::Ready(ready).to_json()).await?;
            self.send_init(socket, init.bytes.clone()).await?;
            let time = init.time(fragment.head.decode_time);
            self.video.start = Some(VideoStart { timeline: init.timeline, time });
        }
        let lag = self.source.lag();
        self.send_fragment(socket, &fragment.bytes, lag).await?;
        if lag.is_zero() {
            return Ok(());
        }
        self.skip(socket, self.tolerated_lag(), GapReason::Behind).await
    }

    /// Records the camera's format at the start of an epoch. Returns whether an epoch starts.
    fn camera_changed(&mut self) -> bool {
        if let Some(init) = &self.video.init {
            let b_frames = init.reordering == Reordering::Present;
            let format = |codec: &VideoCodec| CameraFormat { codec: codec.clone(), b_frames };
            self.selection.camera = init.video_codec().map(format);
        }
        self.video.init.is_some()
    }

    pub(super) async fn send_init(&mut self, socket: &mut Socket, init: bytes::Bytes) -> Result<(), SessionEnd> {
        self.abr.on_sent(init.len(), Duration::ZERO, self.time());
        Ok(socket.send_init(init).await?)
    }

    /// Sends a fragment after the video has `waited` to be sent.
    pub(super) async fn send_fragment(
        &mut self,
        socket: &mut Socket,
        bytes: &WebSocketFrame,
        waited: Duration,
    ) -> Result<(), SessionEnd> {
        self.abr.on_sent(bytes.len(), waited, self.time());
        Ok(socket.send_fragment(bytes).await?)
    }

    async fn send_gap(&mut self, socket: &mut Socket, skipped: u64, why: GapReason) -> Result<(), SessionEnd> {
        Ok(socket.send_text(ServerMessage::Gap { skipped, why }.to_json()).await?)
    }
}
