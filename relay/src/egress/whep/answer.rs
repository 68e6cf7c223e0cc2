//! Adapts the SDP answer to players (RFC 8829, section 5.3): one section for video and at most one for sound send, in one stream,
//! and no other announces media.
//!
//! str0m answers each section with the opposite direction. Media that is never sent would become `sendonly` with a stream of its
//! own. A player would get a track for it, and `video.srcObject = event.streams[0]` in `ontrack` would use the last stream.
//! Browsers play tracks of one stream in sync.
//!
//! Pure: text in, text out.

/// Attributes of a rejected section. Its transport is unused, but GStreamer's webrtcbin 1.22 requires them.
const TRANSPORT: [&str; 6] = ["c=", "a=mid:", "a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:", "a=setup:"];

/// The role of a section in the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Sends video or sound.
    Sends,
    /// Not media: a data channel.
    Other,
    /// Media without a sender.
    Inactive,
    /// No common codec.
    Rejected,
}

/// A media description: the lines from `m=` on (RFC 8866, section 5.14).
#[derive(Debug)]
struct MediaSection<'a> {
    lines: Vec<&'a str>,
    role: Role,
}

/// Lets str0m's `answer` send the sections `video` and `audio` only, in the stream of `video`.
///
/// Another media section becomes `inactive` and loses its stream. A section without a common codec is rejected: port 0, outside
/// the bundle (RFC 8843, section 7.3.3). The candidates move to the first section that is not rejected, which describes the
/// transport (RFC 8843, section 9.2).
pub(super) fn send_only(answer: &str, video: &str, audio: Option<&str>) -> String {
    let mut lines = answer.lines().peekable();
    let session: Vec<&str> = std::iter::from_fn(|| lines.next_if(|line| !line.starts_with("m="))).collect();
    let mut sections: Vec<MediaSection<'_>> = Vec::new();
    for line in lines {
        match sections.last_mut() {
            Some(section) if !line.starts_with("m=") => section.lines.push(line),
            _ => sections.push(MediaSection { lines: vec![line], role: Role::Other }),
        }
    }
    for section in &mut sections {
        section.role = section.find_role(&[Some(video), audio]);
    }
    let rejected: Vec<&str> =
        sections.iter().filter(|s| s.role == Role::Rejected).filter_map(MediaSection::mid).collect();
    let stream = sections.iter().find(|s| s.mid() == Some(video)).and_then(|s| s.value("a=msid:"));
    let stream = stream.and_then(|msid| msid.split(' ').next()).unwrap_or("*");
    let mut candidates: Vec<&str> =
        sections.iter().flat_map(|section| &section.lines).copied().filter(|line| is_candidate(line)).collect();
    let mut text = String::with_capacity(answer.len());
    let mut push = |line: &str| text.extend([line, "\r\n"]);
    for line in session {
        if let Some(mids) = line.strip_prefix("a=group:BUNDLE") {
            let kept: Vec<&str> = mids.split_whitespace().filter(|mid| !rejected.contains(mid)).collect();
            push(&format!("a=group:BUNDLE {}", kept.join(" ")));
        } else if line.starts_with("a=msid-semantic:") {
            push(&format!("a=msid-semantic:WMS {stream}"));
        } else {
            push(line);
        }
    }
    for section in &sections {
        section.write(stream, &mut push);
        if section.role != Role::Rejected {
            candidates.drain(..).for_each(&mut push);
        }
    }
    text
}

impl<'a> MediaSection<'a> {
    fn find_role(&self, sent: &[Option<&str>]) -> Role {
        let media = self.lines.first().is_some_and(|line| line.starts_with("m=audio ") || line.starts_with("m=video "));
        if !media {
            Role::Other
        } else if self.mid().is_some() && sent.contains(&self.mid()) {
            Role::Sends
        } else if self.value("a=rtpmap:").is_none() || self.port() == Some("0") {
            Role::Rejected
        } else {
            Role::Inactive
        }
    }

    fn mid(&self) -> Option<&'a str> {
        self.value("a=mid:")
    }

    fn port(&self) -> Option<&'a str> {
        self.lines.first()?.split(' ').nth(1)
    }

    /// The rest of the first line that starts with `start`.
    fn value(&self, start: &str) -> Option<&'a str> {
        self.lines.iter().find_map(|line| line.strip_prefix(start))
    }

    /// Writes the section in its role, without candidates. Its media is in `stream`, if it sends.
    fn write(&self, stream: &str, push: &mut impl FnMut(&str)) {
        let lines = self.lines.iter().copied().filter(|line| !is_candidate(line));
        match self.role {
            Role::Other => lines.for_each(push),
            Role::Sends => lines.for_each(|line| match in_stream(line, stream) {
                Some(line) => push(&line),
                None => push(if is_direction(line) { "a=sendonly" } else { line }),
            }),
            Role::Inactive => {
                let stream = |line: &str| ["a=msid:", "a=ssrc:", "a=ssrc-group:"].iter().any(|p| line.starts_with(p));
                let lines = lines.filter(|line| !stream(line));
                lines.for_each(|line| push(if is_direction(line) { "a=inactive" } else { line }));
            }
            Role::Rejected => {
                let mut first = self.lines[0].splitn(3, ' ');
                let (kind, rest) = (first.next().unwrap_or_default(), first.nth(1).unwrap_or_default());
                push(&format!("{kind} 0 {rest}"));
                lines.filter(|line| TRANSPORT.iter().any(|start| line.starts_with(start))).for_each(&mut *push);
                push("a=inactive");
            }
        }
    }
}

/// A line that names the stream of a track, `a=msid:` or `a=ssrc:`, with `stream` in its place. `None` for any other.
fn in_stream(line: &str, stream: &str) -> Option<String> {
    let (start, id) = line.split_once("msid:")?;
    let (_, track) = id.split_once(' ')?;
    Some(format!("{start}msid:{stream} {track}"))
}

fn is_candidate(line: &str) -> bool {
    line.starts_with("a=candidate:") || line == "a=end-of-candidates"
}

fn is_direction(line: &str) -> bool {
    matches!(line, "a=sendonly" | "a=sendrecv" | "a=recvonly" | "a=inactive")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &str =
        "v=0\r\ns=-\r\na=group:BUNDLE 0 1 2 3\r\na=msid-semantic: WMS audio one two\r\na=ice-lite\r\n";
    const AUDIO: &str = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=candidate:1 1 udp 1 192.0.2.1 8190 typ host\r\n\
        a=ice-ufrag:us\r\na=mid:0\r\na=sendonly\r\na=msid:audio t0\r\na=rtpmap:111 opus/48000/2\r\na=ssrc:1 cname:c\r\n";
    const VIDEO: &str = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:us\r\na=mid:1\r\na=sendrecv\r\n\
        a=msid:one t1\r\na=rtpmap:96 H264/90000\r\na=ssrc:2 cname:c\r\na=ssrc-group:FID 2 3\r\n";
    const DATA: &str =
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:3\r\na=sctp-port:5000\r\n";

    /// The sections of an answer, each with its `m=` line.
    fn sections(answer: &str) -> Vec<&str> {
        let starts: Vec<usize> = answer.match_indices("\r\nm=").map(|(at, _)| at + 2).collect();
        let ends = starts.iter().skip(1).copied().chain([answer.len()]);
        starts.iter().zip(ends).map(|(&start, end)| &answer[start..end]).collect()
    }

    #[test]
    fn video_and_sound_send_in_one_stream() {
        let audio = AUDIO.replace("a=candidate:1 1 udp 1 192.0.2.1 8190 typ host\r\n", "");
        let audio = audio.replace("a=ssrc:1 cname:c\r\n", "a=ssrc:1 cname:c\r\na=ssrc:1 msid:audio t0\r\n");
        let second = audio.replace("mid:0", "mid:2");
        let answer = send_only(&[SESSION, &audio, VIDEO, &second, DATA].concat(), "1", Some("0"));
        let [first, video, second, _] = sections(&answer)[..] else { panic!("{answer}") };
        assert_eq!(first, audio.replace("msid:audio", "msid:one"));
        assert!(video.contains("a=sendonly\r\na=msid:one t1\r\n"), "{video}");
        assert!(second.contains("a=inactive\r\n") && !second.contains("msid"), "{second}");
        assert!(answer.starts_with(&SESSION.replace(" WMS audio one two", "WMS one")), "{answer}");
    }

    #[test]
    fn only_one_section_sends() {
        let second = VIDEO.replace("mid:1", "mid:2").replace("one t1", "two t2");
        let answer = send_only(&[SESSION, AUDIO, VIDEO, &second, DATA].concat(), "1", None);
        let [audio, video, second, data] = sections(&answer)[..] else { panic!("{answer}") };
        assert_eq!(video, VIDEO.replace("sendrecv", "sendonly"));
        for section in [audio, second] {
            assert!(section.contains(" 9 ") && section.contains("a=inactive\r\n") && section.contains("a=rtpmap:"));
            assert!(!section.contains("msid") && !section.contains("ssrc"), "{section}");
        }
        assert!(audio.contains("a=candidate:"), "the first section describes the transport: {audio}");
        assert_eq!(data, DATA);
        assert!(answer.starts_with(&SESSION.replace(" WMS audio one two", "WMS one")), "{answer}");
    }

    #[test]
    fn section_without_a_common_codec_is_rejected_and_has_no_candidates() {
        let audio = AUDIO.replace("SAVPF 111", "SAVPF 0").replace("a=rtpmap:111 opus/48000/2\r\n", "");
        let answer = send_only(&[SESSION, &audio, VIDEO].concat(), "1", None);
        let [audio, video] = sections(&answer)[..] else { panic!("{answer}") };
        assert_eq!(
            audio,
            "m=audio 0 UDP/TLS/RTP/SAVPF 0\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:us\r\na=mid:0\r\na=inactive\r\n"
        );
        assert!(video.contains("a=candidate:1 1 udp 1 192.0.2.1 8190 typ host\r\n"), "{video}");
        assert!(answer.contains("a=group:BUNDLE 1 2 3\r\n"), "{answer}");
    }
}
