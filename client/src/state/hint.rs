//! Describes in one line how each protocol works in this browser, with this relay.

use super::{App, Protocol};

impl App {
    /// Describes a protocol.
    pub fn hint(&self, protocol: Protocol) -> String {
        let abilities = &self.abilities;
        match protocol {
            Protocol::Auto => self.auto_hint(),
            Protocol::Mse if abilities.media_source.is_none() => {
                "This browser has no Media Source Extensions.".to_owned()
            }
            Protocol::Mse if abilities.h265() => {
                "Over a WebSocket, through any tunnel; about 0.1 s behind, H.265 untouched.".to_owned()
            }
            Protocol::Mse => {
                "Over a WebSocket, through any tunnel; about 0.1 s behind. This browser plays no H.265: it gets H.264."
                    .to_owned()
            }
            Protocol::WebCodecs if abilities.webcodecs => {
                "As MSE, but each frame is presented on arrival, about 0.03 s behind; sound plays by MSE.".to_owned()
            }
            Protocol::WebCodecs if !abilities.secure_context => "WebCodecs needs HTTPS.".to_owned(),
            Protocol::WebCodecs => "This browser has no WebCodecs.".to_owned(),
            Protocol::WebRtc if !abilities.webrtc => "This browser has no WebRTC.".to_owned(),
            Protocol::WebRtc if self.webrtc == Some(false) => "This relay has WebRTC turned off.".to_owned(),
            Protocol::WebRtc => {
                "Over UDP or TCP to one port, about 0.1 s behind; does not pass tunnels that carry HTTP only."
                    .to_owned()
            }
            Protocol::Hls if abilities.native_hls => {
                "Over plain HTTP, through everything; some seconds behind.".to_owned()
            }
            Protocol::Hls => "Over plain HTTP, through everything; about a second behind.".to_owned(),
        }
    }

    /// The protocol that Auto uses, and the reason.
    fn auto_hint(&self) -> String {
        let mut chosen: Vec<_> = self.tiles.iter().filter(|tile| tile.protocol == Protocol::Auto).collect();
        chosen.retain(|tile| tile.using.is_some());
        match chosen.as_slice() {
            [] => "The freshest way that works here.".to_owned(),
            [first, rest @ ..] if rest.iter().all(|tile| tile.using == first.using) => {
                first.using.iter().map(|(protocol, why)| format!("Uses {protocol}: {why}.")).collect()
            }
            several => {
                let count = |protocol| {
                    let using =
                        several.iter().filter(|tile| tile.using.as_ref().is_some_and(|using| using.0 == protocol));
                    (protocol, using.count())
                };
                let counts = Protocol::ALL.into_iter().map(count).filter(|&(_, count)| count > 0);
                let counts: Vec<_> = counts.map(|(protocol, count)| format!("{protocol} for {count}")).collect();
                format!("Uses {}.", counts.join(", "))
            }
        }
    }
}
