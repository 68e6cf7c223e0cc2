//! A section of the answer that sends, and its RTP stream in str0m.
//!
//! str0m also reports on a stream without packets, with an RTP time of 0. A receiver that takes that for the stream's clock plays
//! sound and video apart for seconds. So str0m learns of a stream with its first frame.

use str0m::Rtc;
use str0m::media::{Mid, Writer};
use str0m::rtp::Ssrc;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Track {
    pub(super) mid: Mid,
    ssrc: Ssrc,
    /// The stream of retransmissions.
    resend: Option<Ssrc>,
}

impl Track {
    /// Takes the stream of section `mid` out of `rtc`, until its first frame. `None` if that section does not send.
    pub(super) fn new(rtc: &mut Rtc, mid: Mid) -> Option<Self> {
        let mut rtc = rtc.direct_api();
        let stream = rtc.stream_tx_by_mid(mid, None)?;
        let (ssrc, resend) = (stream.ssrc(), stream.rtx());
        rtc.remove_stream_tx(ssrc);
        Some(Self { mid, ssrc, resend })
    }

    /// The writer of a frame. `None` once the connection has ended.
    pub(super) fn writer<'a>(&self, rtc: &'a mut Rtc) -> Option<Writer<'a>> {
        // Changes nothing after the first time.
        if rtc.direct_api().stream_tx_by_mid(self.mid, None).is_none() {
            rtc.direct_api().declare_stream_tx(self.ssrc, self.resend, self.mid, None);
        }
        rtc.writer(self.mid)
    }
}
