//! The data channel with the `ready` message of `sightline.v1` for each epoch, as on a WebSocket. It carries no media, and the
//! viewer's messages are ignored.
//!
//! The newest message is kept for a viewer that opens the channel later. A channel with a full buffer gets no message: its
//! viewer has not read hundreds of them.

use sightline_protocol::SUBPROTOCOL;
use sightline_protocol::message::{Ready, ServerMessage};
use str0m::Rtc;
use str0m::channel::ChannelId;
use tracing::debug;

use super::timeout::EndReason;

/// Maximum number of channels per viewer, of any label. Players open one; each uses memory in the SCTP association.
const CHANNELS_MAX: usize = 16;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct ReadyChannel {
    channel: Option<ChannelId>,
    opened: usize,
    newest: Option<Ready>,
}

impl ReadyChannel {
    /// Records that the viewer opened the channel `id`.
    pub(super) fn opened(&mut self, rtc: &mut Rtc, id: ChannelId, label: &str) -> Result<(), EndReason> {
        self.opened += 1;
        if self.opened > CHANNELS_MAX {
            return Err(EndReason::Channels);
        }
        if label == SUBPROTOCOL {
            self.channel = Some(id);
            self.send(rtc);
        }
        Ok(())
    }

    /// Records that the channel `id` is closed.
    pub(super) fn closed(&mut self, id: ChannelId) {
        self.channel.take_if(|channel| *channel == id);
    }

    /// The number of announced epochs.
    pub(super) fn epochs(&self) -> u32 {
        self.newest.as_ref().map_or(0, |ready| ready.epoch)
    }

    /// Announces an epoch.
    pub(super) fn announce(&mut self, rtc: &mut Rtc, ready: Ready) {
        self.newest = Some(ready);
        self.send(rtc);
    }

    fn send(&self, rtc: &mut Rtc) {
        let (Some(id), Some(ready)) = (self.channel, &self.newest) else { return };
        let Some(mut channel) = rtc.channel(id) else { return };
        let text = ServerMessage::Ready(ready.clone()).to_json();
        if !matches!(channel.write(false, text.as_bytes()), Ok(true)) {
            debug!("the data channel refused the epoch message");
        }
    }
}
