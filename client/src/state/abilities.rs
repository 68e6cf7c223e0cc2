//! The abilities that this browser reports.

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Abilities {
    /// The name of the interface that accepts fragments; none if there is none.
    pub media_source: Option<&'static str>,
    /// `RTCPeerConnection`.
    pub webrtc: bool,
    /// `<video>` plays HLS natively.
    pub native_hls: bool,
    /// `VideoDecoder`.
    pub webcodecs: bool,
    /// `MediaStreamTrackGenerator`: decoded frames can be presented in a `<video>`.
    pub video_track: bool,
    /// `WebTransport`.
    pub webtransport: bool,
    /// `requestVideoFrameCallback`: reports every presented frame.
    pub frame_callbacks: bool,
    /// Picture-in-picture is available.
    pub picture_in_picture: bool,
    /// Whether the page was loaded over HTTPS, or from this machine.
    pub secure_context: bool,
    /// The tested codec strings, and whether fragments of each can be played.
    pub codecs: Vec<(String, bool)>,
    /// `navigator.userAgent`: for reports only, no decision depends on it.
    pub user_agent: String,
}

impl Abilities {
    /// Whether the browser reports H.265 as supported.
    pub fn h265(&self) -> bool {
        self.codecs.iter().any(|(codec, played)| *played && (codec.starts_with("hvc1") || codec.starts_with("hev1")))
    }

    /// Rows for display: a feature, and whether it is available.
    pub fn rows(&self) -> Vec<(String, String)> {
        let known = |name: &str, there: bool| (name.to_owned(), if there { "yes" } else { "no" }.to_owned());
        let mut rows = vec![
            ("Media Source Extensions".to_owned(), self.media_source.unwrap_or("no").to_owned()),
            known("WebRTC", self.webrtc),
            known("HLS without a script", self.native_hls),
            known("WebCodecs", self.webcodecs),
            known("WebCodecs into a video", self.video_track),
            known("WebTransport", self.webtransport),
            known("Frame callbacks", self.frame_callbacks),
            known("Picture in picture", self.picture_in_picture),
            known("Secure context", self.secure_context),
        ];
        rows.extend(self.codecs.iter().map(|(codec, played)| known(codec, *played)));
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h265_is_either_of_its_mime_types() {
        let abilities = |codecs: &[(&str, bool)]| Abilities {
            codecs: codecs.iter().map(|&(codec, played)| (codec.to_owned(), played)).collect(),
            ..Abilities::default()
        };
        assert!(abilities(&[("avc1.640034", true), ("hev1.1.6.L93.B0", true)]).h265());
        assert!(!abilities(&[("avc1.640034", true), ("hvc1.1.6.L93.B0", false)]).h265());
        assert_eq!(abilities(&[("avc1.640034", true)]).rows().last().unwrap().1, "yes");
    }
}
