//! The RTSP of a scripted camera (RFC 2326): requests in, answers out. Reads no clock and no socket.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use md5::Digest as _;

use super::annex_b::{is_parameter_set, unit_type};
use super::case::{Attack, Case, DescribedSets, Keepalive, Login, SoundCodec};

const NONCE: &str = "dcd98b7102dd2f0e8b11d0f600bfb0c0";

/// A request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The address.
    pub uri: String,
    headers: Vec<(String, String)>,
}

impl Request {
    /// Parses a message up to the empty line.
    ///
    /// # Panics
    /// When it is not a request.
    pub fn parse(text: &str) -> Self {
        let mut lines = text.lines();
        let mut words = lines.next().expect("a request line").split(' ').map(str::to_owned);
        let (method, uri) = (words.next().expect("a method"), words.next().expect("an address"));
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
        Self { method, uri, headers }
    }

    /// A header field by its name in lower case; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The first part of the path.
    pub fn path(&self) -> &str {
        let after_host =
            self.uri.split("://").nth(1).and_then(|rest| rest.split_once('/')).map_or("", |(_, path)| path);
        after_host.split(['/', '?']).next().unwrap_or_default()
    }
}

/// How media is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// In the RTSP connection, on this channel and, for RTCP, the next.
    Interleaved(u8),
    /// To this UDP port.
    Udp(u16),
}

/// What to do after the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Read on.
    Continue,
    /// Send media.
    Play,
    /// Close the connection.
    Close,
}

/// An answer: bytes, perhaps with a filler in their midst that is too long to be kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    before: Vec<u8>,
    filler: Vec<u8>,
    repeated: usize,
    after: Vec<u8>,
}

impl Answer {
    /// Its bytes, in order.
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let filler = std::iter::repeat_n(&self.filler[..], self.repeated);
        std::iter::once(&self.before[..]).chain(filler).chain([&self.after[..]])
    }
}

impl From<Vec<u8>> for Answer {
    fn from(before: Vec<u8>) -> Self {
        Self { before, ..Self::default() }
    }
}

/// A viewer's session.
#[derive(Debug)]
pub struct Session<'a> {
    case: &'a Case,
    /// The transport of the video and of the sound, once set up.
    pub transports: [Option<Transport>; 2],
    playing: bool,
}

impl<'a> Session<'a> {
    /// For a new connection.
    pub fn new(case: &'a Case) -> Self {
        Self { case, transports: [None; 2], playing: false }
    }

    /// The answer to a request; empty for none.
    pub fn answer(&mut self, request: &Request) -> (Answer, Then) {
        let (answer, then) = self.short_answer(request);
        let fits = request.method == "DESCRIBE" && answer.starts_with(b"RTSP/1.0 200");
        (
            self.case.attack.filter(|_| fits).and_then(|attack| lengthened(attack, &answer)).unwrap_or(answer.into()),
            then,
        )
    }

    fn short_answer(&mut self, request: &Request) -> (Vec<u8>, Then) {
        let reply = |status: &str, more: &[String], body: &str| {
            let mut text = format!("RTSP/1.0 {status}\r\nCSeq: {}\r\n", request.header("cseq"));
            more.iter().for_each(|line| text += &format!("{line}\r\n"));
            if !body.is_empty() {
                text += &format!("Content-Length: {}\r\n", body.len());
            }
            (text + "\r\n" + body).into_bytes()
        };
        let method = request.method.as_str();
        if self.playing && matches!(method, "OPTIONS" | "GET_PARAMETER" | "SET_PARAMETER") {
            match self.case.keepalive {
                Keepalive::Answered => {}
                Keepalive::Ignored => return (Vec::new(), Then::Continue),
                Keepalive::Refused => return (reply("454 Session Not Found", &[], ""), Then::Continue),
            }
        }
        if let Some((_, status)) = self.case.refusal.filter(|(refused, _)| *refused == method) {
            let mut parts = status.split('\n');
            let status = parts.next().expect("a status line");
            let more: Vec<_> = parts.map(str::to_owned).collect();
            return (reply(status, &more, ""), Then::Continue);
        }
        if method == "OPTIONS" {
            let public = "Public: OPTIONS, DESCRIBE, SETUP, TEARDOWN, PLAY, GET_PARAMETER".to_owned();
            return (reply("200 OK", &[public], ""), Then::Continue);
        }
        if let Some(login) = self.case.login.filter(|login| !is_allowed(*login, request)) {
            return (reply("401 Unauthorized", &challenges(login), ""), Then::Continue);
        }
        let session = format!("Session: 12345678;timeout={}", self.case.session_timeout);
        match method {
            "DESCRIBE" => {
                let mut more = vec!["Content-Type: application/sdp".to_owned()];
                more.push(format!("Content-Base: {}/", request.uri.trim_end_matches('/')));
                (reply("200 OK", &more, &self.description()), Then::Continue)
            }
            "SETUP" => match self.set_up(request) {
                Some(transport) => (reply("200 OK", &[transport, session], ""), Then::Continue),
                None => (reply("461 Unsupported Transport", &[], ""), Then::Continue),
            },
            "PLAY" => {
                self.playing = true;
                let track = request.uri.trim_end_matches('/');
                let info = format!("RTP-Info: url={track}/track0;seq=20;rtptime=0");
                let info = self.case.wrong_sequence_number.then_some(info);
                (reply("200 OK", &[session].into_iter().chain(info).collect::<Vec<_>>(), ""), Then::Play)
            }
            "TEARDOWN" => (reply("200 OK", &[session], ""), Then::Close),
            _ => (reply("200 OK", &[session], ""), Then::Continue),
        }
    }

    fn set_up(&mut self, request: &Request) -> Option<String> {
        let track = usize::from(request.uri.ends_with("track1"));
        let asked = request.header("transport");
        if asked.contains("TCP") {
            let channel = 2 * track as u8;
            self.transports[track] = Some(Transport::Interleaved(channel));
            let channels = format!("{channel}-{}", channel + 1);
            return (!self.case.udp_only).then(|| format!("Transport: RTP/AVP/TCP;unicast;interleaved={channels}"));
        }
        let port: u16 = asked.split("client_port=").nth(1)?.split('-').next()?.parse().ok()?;
        self.transports[track] = Some(Transport::Udp(port));
        Some(format!("Transport: RTP/AVP;unicast;client_port={port}-{};server_port=50000-50001", port + 1))
    }

    /// The session description (RFC 8866).
    fn description(&self) -> String {
        let mut lines = vec!["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=camera", "t=0 0", "a=control:*"];
        lines.extend(self.case.sdp_before);
        let video = format!("a=fmtp:96 packetization-mode=1{}", self.described_sets());
        lines.extend([
            "m=video 0 RTP/AVP 96",
            "c=IN IP4 0.0.0.0",
            "a=rtpmap:96 H264/90000",
            &video,
            "a=control:track0",
        ]);
        match self.case.sound.map(|sound| sound.codec) {
            Some(SoundCodec::Alaw) => lines.extend(["m=audio 0 RTP/AVP 8", "a=rtpmap:8 PCMA/8000", "a=control:track1"]),
            Some(SoundCodec::G726) => {
                lines.extend(["m=audio 0 RTP/AVP 97", "a=rtpmap:97 G726-32/8000", "a=control:track1"]);
            }
            None => {}
        }
        lines.join("\r\n") + "\r\n"
    }

    fn described_sets(&self) -> String {
        let mut sets: Vec<&Vec<u8>> = Vec::new();
        for set in self.case.media.access_units().iter().flatten().filter(|unit| is_parameter_set(unit)) {
            let same_type = sets.iter().any(|known| unit_type(known) == unit_type(set));
            let wanted = match self.case.described_sets {
                DescribedSets::All => true,
                DescribedSets::First => !same_type,
                DescribedSets::SpsOnly => !same_type && unit_type(set) == 7,
                DescribedSets::None => false,
            };
            if wanted && !sets.contains(&set) {
                sets.push(set);
            }
        }
        let encoded: Vec<_> = sets.iter().map(|set| BASE64_STANDARD.encode(set)).collect();
        if encoded.is_empty() { String::new() } else { format!(";sprop-parameter-sets={}", encoded.join(",")) }
    }
}

/// The answer to DESCRIBE as an attack sends it.
fn lengthened(attack: Attack, answer: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let line = format!("a=x:{}\r\n", "0".repeat(1018)).into_bytes();
    let answer = match attack {
        Attack::Description(bytes) => {
            let repeated = bytes / line.len();
            let length = format!("Content-Length: {}", body.len() + repeated * line.len());
            let head = head.replace(&format!("Content-Length: {}", body.len()), &length);
            Answer { before: format!("{head}\r\n\r\n{body}").into_bytes(), filler: line, repeated, after: Vec::new() }
        }
        Attack::Header(bytes) => Answer {
            before: format!("{head}\r\nX-Long: ").into_bytes(),
            filler: vec![b'x'; 1024],
            repeated: bytes / 1024,
            after: format!("\r\n\r\n{body}").into_bytes(),
        },
        _ => return None,
    };
    Some(answer)
}

fn challenges(login: Login) -> Vec<String> {
    let challenge = |algorithm: &&str| {
        format!("WWW-Authenticate: Digest realm=\"camera\", nonce=\"{NONCE}\", algorithm=\"{algorithm}\"")
    };
    login.algorithms.iter().map(challenge).collect()
}

/// Whether a request has the response to a challenge (RFC 7616, without `qop`).
fn is_allowed(login: Login, request: &Request) -> bool {
    let Some(digest) = request.header("authorization").strip_prefix("Digest ") else { return false };
    let value = |name: &str| {
        let found = digest.split(',').filter_map(|pair| pair.trim().split_once('='));
        found.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value.trim_matches('"').to_owned())
    };
    let response = value("response").unwrap_or_default();
    let by_length = if response.len() == 64 { "SHA-256" } else { "MD5" };
    let algorithm = match (value("algorithm"), login.strict) {
        (Some(named), _) => named,
        (None, false) => by_length.to_owned(),
        (None, true) => "MD5".to_owned(),
    };
    let hash = |text: String| match algorithm.as_str() {
        "SHA-256" => hex(&sha2::Sha256::digest(text)),
        _ => hex(&md5::Md5::digest(text)),
    };
    let secret = hash(format!("{}:camera:{}", login.user, login.password));
    let asked = hash(format!("{}:{}", request.method, value("uri").unwrap_or_default()));
    login.algorithms.contains(&algorithm.as_str())
        && value("uri").is_some_and(|uri| uri == request.uri)
        && response == hash(format!("{secret}:{NONCE}:{asked}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
