//! What a scripted camera does: the description of one camera of the field.

use std::time::Duration;

use super::media::Media;

/// A camera. [`Case::new`] is one without faults.
#[derive(Debug, Clone)]
pub struct Case {
    /// The path of its address.
    pub name: &'static str,
    /// The video.
    pub media: Media,
    /// The number of the first frame.
    pub first: usize,
    /// The time between two frames.
    pub interval: Duration,
    /// Which packets have the marker bit.
    pub marker: Marker,
    /// The form of fragmentation units.
    pub fragments: Fragments,
    /// What its timestamps count.
    pub clock: Clock,
    /// The parameter sets in the session description.
    pub described_sets: DescribedSets,
    /// More lines of the session description, before those of the video.
    pub sdp_before: &'static [&'static str],
    /// A second medium.
    pub sound: Option<Sound>,
    /// What authentication it asks for.
    pub login: Option<Login>,
    /// A method, and the status line that it is answered with.
    pub refusal: Option<(&'static str, &'static str)>,
    /// What it answers to keepalives while it plays.
    pub keepalive: Keepalive,
    /// The seconds after which its session ends without keepalives.
    pub session_timeout: u32,
    /// Whether its session ends without keepalives, as most do.
    pub needs_keepalives: bool,
    /// Whether packets of a session that has ended come among its own, from before the answer to PLAY on (live555 before 2018).
    pub dead_session: bool,
    /// Whether the sequence number in its answer to PLAY is later than that of its first packet: GStreamer's server, where all
    /// viewers share one payloader.
    pub wrong_sequence_number: bool,
    /// Whether it refuses media in the RTSP connection.
    pub udp_only: bool,
    /// What it sends besides, or in place of, its video.
    pub attack: Option<Attack>,
}

impl Case {
    /// A camera without faults.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            media: Media::Plain,
            first: 0,
            interval: Duration::from_millis(66),
            marker: Marker::AccessUnit,
            fragments: Fragments::Plain,
            clock: Clock::Right,
            described_sets: DescribedSets::First,
            sdp_before: &[],
            sound: None,
            login: None,
            refusal: None,
            keepalive: Keepalive::Answered,
            session_timeout: 60,
            needs_keepalives: false,
            dead_session: false,
            wrong_sequence_number: false,
            udp_only: false,
            attack: None,
        }
    }
}

/// Which packets have the marker bit (RFC 6184, section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    /// The last one of an access unit.
    AccessUnit,
    /// The last one of each slice.
    Slice,
    /// Those of parameter sets as well, which have the timestamp of the frame before.
    ParameterSets,
    /// That of an SEI message before each frame as well, which has a packet of its own.
    Sei,
    /// None.
    Never,
}

/// The form of fragmentation units (RFC 6184, section 5.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fragments {
    /// As specified.
    Plain,
    /// The reserved bit is set.
    ReservedBit,
    /// The last one has no bytes.
    EmptyLast,
    /// All but the first one say that they are of another NAL unit type.
    OtherTypes,
    /// All NAL units of a frame in one, with start codes between them.
    StartCodes,
}

/// What RTP timestamps count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// Ticks of 90 kHz.
    Right,
    /// Milliseconds.
    Milliseconds,
    /// Nothing: all are the same.
    Still,
    /// Ticks of 180 kHz.
    TwiceTooFast,
    /// Ticks of 90 kHz that begin again after this number of frames.
    RestartsAfter(usize),
    /// Ticks that pass the end of 32 bits after this number of frames, and sequence numbers that pass the end of 16 bits.
    WrapsAfter(usize),
}

/// The parameter sets in the session description (RFC 6184, section 8.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DescribedSets {
    /// One of each.
    First,
    /// All.
    All,
    /// The SPS without a PPS.
    SpsOnly,
    /// None.
    None,
}

/// A codec of sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SoundCodec {
    /// G.711 A-law.
    Alaw,
    /// G.726 at 32 kbit/s.
    G726,
}

/// A track of sound, of 20 ms per packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sound {
    /// Its codec.
    pub codec: SoundCodec,
    /// It stops after this.
    pub stops_after: Duration,
    /// By how many seconds its clock goes ahead of the video's after two seconds.
    pub steps: u32,
}

/// A user name and password, and the challenges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Login {
    /// Digest algorithms (RFC 7616), in the order of the challenges.
    pub algorithms: &'static [&'static str],
    /// Whether a response must name its algorithm.
    pub strict: bool,
    /// The user name.
    pub user: &'static str,
    /// The password.
    pub password: &'static str,
}

/// The answer to keepalives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keepalive {
    /// 200.
    Answered,
    /// None.
    Ignored,
    /// 454.
    Refused,
}

/// What a hostile camera sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attack {
    /// A session description of this many bytes.
    Description(usize),
    /// A header of this many bytes in the answer to DESCRIBE.
    Header(usize),
    /// A NAL unit of this many bytes.
    Unit(usize),
    /// An access unit of this many NAL units of one byte each, 400 in a packet.
    OneByteUnits(usize),
    /// Frames without pause.
    Flood,
    /// No media at all.
    Silence,
    /// An RTCP BYE after this many frames, and nothing after it. The connection stays open.
    ByeAfter(usize),
}
