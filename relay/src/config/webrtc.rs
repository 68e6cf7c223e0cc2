//! `[webrtc]`: the addresses for WebRTC viewers.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;

use super::listen;

/// The configuration of WebRTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webrtc {
    /// Whether the relay offers WebRTC.
    pub enabled: bool,
    /// The address for UDP and ICE-TCP. `None` for port 8190 on the address of HTTP.
    pub listen: Option<SocketAddr>,
    /// Whether UDP is offered.
    pub udp: bool,
    /// Whether ICE-TCP is offered.
    pub tcp: bool,
    /// Additional addresses to announce, such as those of a router that forwards the port.
    pub candidates: Vec<Announced>,
    /// STUN and TURN servers for viewers.
    pub ice_servers: Vec<IceServer>,
}

/// An address to announce to viewers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announced {
    /// The address.
    pub ip: IpAddr,
    /// The port. `None` for the port that the relay listens on.
    pub port: Option<u16>,
}

/// A STUN or TURN server. Its `Debug` output hides the password.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IceServer {
    /// `stun:`, `stuns:`, `turn:` or `turns:` (RFC 7064, RFC 7065).
    pub url: String,
    /// The user name for TURN.
    pub username: Option<String>,
    /// The password for TURN, sent to every viewer.
    pub credential: Option<String>,
}

impl fmt::Debug for IceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, username, credential } = self;
        let credential = credential.as_ref().map(|_| "…");
        f.debug_struct("IceServer")
            .field("url", url)
            .field("username", username)
            .field("credential", &credential)
            .finish()
    }
}

impl Default for Webrtc {
    fn default() -> Self {
        Self { enabled: true, listen: None, udp: true, tcp: true, candidates: Vec::new(), ice_servers: Vec::new() }
    }
}

/// The section's structure.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WebrtcSection {
    enabled: bool,
    #[serde(deserialize_with = "listen::optional")]
    listen: Option<SocketAddr>,
    udp: bool,
    tcp: bool,
    candidates: Vec<String>,
    ice_servers: Vec<IceServer>,
}

impl Default for WebrtcSection {
    fn default() -> Self {
        let Webrtc { enabled, listen, udp, tcp, .. } = Webrtc::default();
        Self { enabled, listen, udp, tcp, candidates: Vec::new(), ice_servers: Vec::new() }
    }
}

impl WebrtcSection {
    pub(super) fn resolve(self) -> Result<Webrtc, String> {
        if self.enabled && !self.udp && !self.tcp {
            return Err("webrtc has neither udp nor tcp; to turn it off, say enabled = false".to_owned());
        }
        let candidates = self.candidates.iter().map(|text| announced(text)).collect::<Result<_, _>>()?;
        self.ice_servers.iter().try_for_each(check)?;
        Ok(Webrtc {
            enabled: self.enabled,
            listen: self.listen,
            udp: self.udp,
            tcp: self.tcp,
            candidates,
            ice_servers: self.ice_servers,
        })
    }
}

fn announced(text: &str) -> Result<Announced, String> {
    let with_port = || text.parse().map(|at: SocketAddr| Announced { ip: at.ip(), port: Some(at.port()) });
    let found = text.parse().map(|ip| Announced { ip, port: None }).or_else(|_| with_port());
    match found {
        Ok(at) if at.ip.is_unspecified() || at.port == Some(0) => {
            Err(format!("webrtc.candidates has {text:?}, which nobody can reach"))
        }
        Ok(at) => Ok(at),
        Err(_) => Err(format!(
            "webrtc.candidates has {text:?}, which is not an IP address such as \"203.0.113.7\" or \"203.0.113.7:8190\""
        )),
    }
}

fn check(server: &IceServer) -> Result<(), String> {
    let IceServer { url, username, credential } = server;
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    let turn = scheme.starts_with("turn");
    if !["stun", "stuns", "turn", "turns"].contains(&scheme) || url.contains(|c: char| "<>\" ".contains(c)) {
        return Err(format!(
            "webrtc.ice_servers has {url:?}, which is not an address such as \"stun:stun.example.org\""
        ));
    }
    if turn && (username.is_none() || credential.is_none()) {
        return Err(format!("webrtc.ice_servers has {url:?}, which needs a username and a credential"));
    }
    // The values are sent in a header line.
    let printable = |text: &String| text.chars().all(|c| c.is_ascii_graphic() || c == ' ');
    if ![Some(url), username.as_ref(), credential.as_ref()].into_iter().flatten().all(printable) {
        return Err(format!("webrtc.ice_servers has {url:?} with characters other than printable ASCII"));
    }
    Ok(())
}
