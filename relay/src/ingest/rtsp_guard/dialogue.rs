//! The requests and responses that pass the guard: logs in, refuses redirects, and answers the keepalives that a camera ignores.
//!
//! Messages and time in, messages out. The reader has one request under way at a time, so one is kept.

use std::net::IpAddr;
use std::time::Duration;

use http_auth::{PasswordClient, PasswordParams};
use tokio::time::Instant;

use super::Refusal;
use super::wire::Message;

/// How long a camera may take to answer a keepalive before the guard does. Shorter than the reader's shortest interval, half of
/// the two seconds that the shortest session lasts.
const KEEPALIVE_WAIT: Duration = Duration::from_millis(700);
/// Media in a session description. Cameras have up to four; recorders some more.
const MEDIA_MAX: usize = 64;

/// Where a message goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Forward {
    /// To the reader.
    Reader(Vec<u8>),
    /// To the camera.
    Camera(Vec<u8>),
    /// Nowhere: it is dropped.
    Drop,
}

/// A request under way.
#[derive(Debug)]
struct Pending {
    number: u32,
    method: String,
    uri: String,
    /// As it was sent, without credentials.
    message: Message,
    sent: Instant,
    /// Whether it was sent again with credentials.
    repeated: bool,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Dialogue {
    /// How the reader's addresses begin, and how the camera's do.
    local: String,
    camera: String,
    camera_ip: Option<IpAddr>,
    login: Option<(String, String)>,
    authentication: Option<PasswordClient>,
    pending: Option<Pending>,
    /// Whether the reader has asked to play.
    has_asked_to_play: bool,
    playing: bool,
}

impl Dialogue {
    pub(super) fn new(local: String, camera: String, login: Option<(String, String)>) -> Self {
        Self {
            local,
            camera,
            camera_ip: None,
            login,
            authentication: None,
            pending: None,
            has_asked_to_play: false,
            playing: false,
        }
    }

    /// Sets the address that media by UDP comes from.
    pub(super) fn with_camera_ip(self, ip: IpAddr) -> Self {
        Self { camera_ip: Some(ip), ..self }
    }

    /// Whether a request is one of the reader that this guard was made for.
    pub(super) fn is_ours(&self, request: &Message) -> bool {
        request.head.split(' ').nth(1).is_some_and(|uri| uri.starts_with(&self.local))
    }

    /// Takes a request of the reader.
    pub(super) fn request(&mut self, mut message: Message, now: Instant) -> Forward {
        let mut words = message.head.split(' ');
        let (method, uri) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
        self.has_asked_to_play |= method == "PLAY";
        let meant = uri.replacen(&self.local, &self.camera, 1);
        message.head = message.head.replacen(&uri, &meant, 1);
        let number = message.number().unwrap_or_default();
        let bytes = self.with_credentials(&message, &method, &meant);
        self.pending = Some(Pending { number, method, uri: meant, message, sent: now, repeated: false });
        Forward::Camera(bytes)
    }

    /// Takes a message of the camera.
    pub(super) fn take_camera(&mut self, mut message: Message) -> Result<Forward, Refusal> {
        let Some(status) = message.status() else { return Ok(Forward::Reader(message.bytes())) };
        let Some(pending) = self.pending.as_ref().filter(|pending| message.number() == Some(pending.number)) else {
            // After PLAY, a late response to a keepalive, which the reader would report as an error. Before PLAY, the reader must
            // report it.
            return Ok(if self.playing { Forward::Drop } else { Forward::Reader(message.bytes()) });
        };
        if status == 401 && self.login.is_some() && !pending.repeated {
            return self.log_in(&message).map(Forward::Camera);
        }
        if (300..400).contains(&status) {
            return Err(Refusal::Redirect);
        }
        if message.body.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"m=")).count() > MEDIA_MAX {
            return Err(Refusal::Media);
        }
        self.playing |= pending.method == "PLAY" && (200..300).contains(&status);
        let has_base = ["Content-Base", "Content-Location"].iter().any(|name| message.header(name).is_some());
        if pending.method == "DESCRIBE" && !has_base {
            // Otherwise the reader's own address would be the base (RFC 2326, appendix C.1.1).
            let line = message.head.find('\n').map_or(message.head.len(), |end| end + 1);
            message.head.insert_str(line, &format!("Content-Base: {}\r\n", pending.uri));
        }
        if let (Some(ip), "SETUP") = (self.camera_ip, pending.method.as_str()) {
            message.head = with_source(&message.head, ip);
        }
        self.pending = None;
        Ok(Forward::Reader(message.bytes()))
    }

    /// Whether media may come: packets before that are of another session.
    pub(super) fn has_asked_to_play(&self) -> bool {
        self.has_asked_to_play
    }

    /// When [`Self::keepalive_response`] is to be called.
    pub(super) fn due(&self) -> Option<Instant> {
        self.pending.as_ref().filter(|pending| self.is_keepalive(pending)).map(|pending| pending.sent + KEEPALIVE_WAIT)
    }

    /// The answer to a keepalive that the camera has not answered. Media shows that it lives.
    pub(super) fn keepalive_response(&mut self) -> Vec<u8> {
        let number = self.pending.take().map(|pending| pending.number).unwrap_or_default();
        format!("RTSP/1.0 200 OK\r\nCSeq: {number}\r\nPublic: OPTIONS\r\n\r\n").into_bytes()
    }

    fn is_keepalive(&self, pending: &Pending) -> bool {
        self.playing && matches!(pending.method.as_str(), "OPTIONS" | "GET_PARAMETER" | "SET_PARAMETER")
    }

    /// Answers a challenge: the pending request with credentials.
    fn log_in(&mut self, challenge: &Message) -> Result<Vec<u8>, Refusal> {
        let challenges = challenge.headers("WWW-Authenticate");
        let builder = challenges.fold(PasswordClient::builder(), |builder, value| builder.challenges(value));
        self.authentication = Some(builder.build().map_err(|_| Refusal::Challenge(schemes(challenge)))?);
        let Some(mut pending) = self.pending.take() else { return Ok(Vec::new()) };
        pending.repeated = true;
        let bytes = self.with_credentials(&pending.message, &pending.method, &pending.uri);
        self.pending = Some(pending);
        Ok(bytes)
    }

    fn with_credentials(&mut self, message: &Message, method: &str, uri: &str) -> Vec<u8> {
        let (Some((username, password)), Some(client)) = (&self.login, &mut self.authentication) else {
            return message.bytes();
        };
        let params = PasswordParams { username, password, uri, method, body: Some(&[]) };
        let Ok(mut response) = client.respond(&params) else { return message.bytes() };
        // Without it a camera takes the response for one of MD5 (RFC 7616, section 3.4).
        let is_sha256 = response.split("response=\"").nth(1).and_then(|rest| rest.find('"')) == Some(64);
        if is_sha256 && !response.contains("algorithm=") {
            response += ", algorithm=SHA-256";
        }
        let head = message.head.trim_end_matches(['\r', '\n']);
        [format!("{head}\r\nAuthorization: {response}\r\n\r\n").as_bytes(), &message.body].concat()
    }
}

/// Names the camera in the transport of media by UDP (RFC 2326, section 12.39). The reader would send its reports to the guard, or to
/// whatever host the camera names.
fn with_source(head: &str, camera: IpAddr) -> String {
    let is_udp = |line: &&str| {
        let line = line.to_ascii_lowercase();
        line.starts_with("transport:") && line.contains("server_port") && !line.contains("multicast")
    };
    let Some(line) = head.lines().find(is_udp) else { return head.to_owned() };
    let parameters = line.split(';').filter(|part| !part.trim().to_ascii_lowercase().starts_with("source="));
    let named = parameters.chain([format!("source={camera}").as_str()]).collect::<Vec<_>>().join(";");
    head.replacen(line, &named, 1)
}

/// The names of the schemes that a challenge offers. A camera's text goes no further.
fn schemes(challenge: &Message) -> String {
    let name = |value: &str| value.chars().take_while(char::is_ascii_alphanumeric).take(20).collect::<String>();
    challenge.headers("WWW-Authenticate").take(4).map(name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(head: &str) -> Message {
        Message { head: head.replace('\n', "\r\n"), body: Default::default() }
    }

    fn dialogue() -> Dialogue {
        let login = ("admin".to_owned(), "secret".to_owned());
        Dialogue::new("rtsp://127.0.0.1:9/key".to_owned(), "rtsp://cam:554".to_owned(), Some(login))
    }

    fn sent(forward: Forward) -> String {
        match forward {
            Forward::Camera(bytes) | Forward::Reader(bytes) => String::from_utf8(bytes).unwrap(),
            Forward::Drop => String::new(),
        }
    }

    #[test]
    fn request_reaches_the_camera_with_its_address_and_the_strongest_login_that_it_offers() {
        let mut dialogue = dialogue();
        let request = message("DESCRIBE rtsp://127.0.0.1:9/key/a?b RTSP/1.0\nCSeq: 1\n\n");
        assert!(dialogue.is_ours(&request) && !dialogue.is_ours(&message("OPTIONS rtsp://127.0.0.1:9/ RTSP/1.0\n\n")));
        let first = sent(dialogue.request(request, Instant::now()));
        assert_eq!(first, "DESCRIBE rtsp://cam:554/a?b RTSP/1.0\r\nCSeq: 1\r\n\r\n");
        let challenge = "RTSP/1.0 401 Unauthorized\nCSeq: 1\nWWW-Authenticate: Basic realm=\"c\"\n\
                         WWW-Authenticate: Digest realm=\"c\", nonce=\"n\", algorithm=\"SHA-256\"\n\n";
        let second = sent(dialogue.take_camera(message(challenge)).unwrap());
        assert!(
            second.starts_with("DESCRIBE rtsp://cam:554/a?b RTSP/1.0\r\nCSeq: 1\r\nAuthorization: Digest "),
            "{second}"
        );
        assert!(second.contains("uri=\"rtsp://cam:554/a?b\"") && second.contains("algorithm=SHA-256"), "{second}");
        let refused = dialogue.take_camera(message(challenge)).unwrap();
        assert!(matches!(refused, Forward::Reader(_)), "a wrong password is told: {refused:?}");
    }

    #[test]
    fn answer_without_a_base_gets_the_camera_s() {
        let mut dialogue = dialogue();
        dialogue.request(message("DESCRIBE rtsp://127.0.0.1:9/key/a RTSP/1.0\nCSeq: 1\n\n"), Instant::now());
        let answer = sent(dialogue.take_camera(message("RTSP/1.0 200 OK\nCSeq: 1\n\n")).unwrap());
        assert_eq!(answer, "RTSP/1.0 200 OK\r\nContent-Base: rtsp://cam:554/a\r\nCSeq: 1\r\n\r\n");
    }

    #[test]
    fn keepalive_is_answered_in_place_of_the_camera_once_it_plays() {
        let mut dialogue = dialogue();
        let now = Instant::now();
        dialogue.request(message("PLAY rtsp://cam:554/a RTSP/1.0\nCSeq: 3\n\n"), now);
        assert_eq!(dialogue.due(), None, "an answer that does not come is the reader's affair");
        dialogue.take_camera(message("RTSP/1.0 200 OK\nCSeq: 3\n\n")).unwrap();
        dialogue.request(message("OPTIONS rtsp://cam:554/a RTSP/1.0\nCSeq: 4\n\n"), now);
        assert_eq!(dialogue.due(), Some(now + KEEPALIVE_WAIT));
        assert!(String::from_utf8(dialogue.keepalive_response()).unwrap().contains("CSeq: 4\r\n"));
        let late = dialogue.take_camera(message("RTSP/1.0 200 OK\nCSeq: 4\n\n")).unwrap();
        assert_eq!((late, dialogue.due()), (Forward::Drop, None));
    }

    #[test]
    fn camera_leads_nowhere_else() {
        let answers = |answer: &str, body: String| {
            let mut dialogue = dialogue().with_camera_ip([10, 0, 0, 2].into());
            let method = if body.is_empty() { "SETUP" } else { "DESCRIBE" };
            let request = format!("{method} rtsp://127.0.0.1:9/key/a RTSP/1.0\nCSeq: 1\n\n");
            dialogue.request(message(&request), Instant::now());
            dialogue.take_camera(Message { body: body.into(), ..message(answer) }).map(sent)
        };
        let moved = "RTSP/1.0 302 Moved\nCSeq: 1\nLocation: rtsp://10.0.0.1/a\n\n";
        assert_eq!(answers(moved, String::new()), Err(Refusal::Redirect));
        let ok = "RTSP/1.0 200 OK\nCSeq: 1\n\n";
        assert_eq!(answers(ok, "m=video 0 RTP/AVP 96\r\n".repeat(65)), Err(Refusal::Media));
        assert!(answers(ok, "m=video 0 RTP/AVP 96\r\n".repeat(64)).is_ok());
        for (transport, passed) in [
            (
                "RTP/AVP;unicast;server_port=6-7;source=10.0.0.1;ssrc=1",
                "RTP/AVP;unicast;server_port=6-7;ssrc=1;source=10.0.0.2",
            ),
            ("RTP/AVP/TCP;interleaved=0-1", "RTP/AVP/TCP;interleaved=0-1"),
        ] {
            let answer =
                answers(&format!("RTSP/1.0 200 OK\nCSeq: 1\nTransport: {transport}\n\n"), String::new()).unwrap();
            assert!(answer.contains(&format!("Transport: {passed}\r\n")), "{answer}");
        }
    }

    #[test]
    fn unknown_challenge_is_told() {
        let mut dialogue = dialogue();
        dialogue.request(message("DESCRIBE rtsp://127.0.0.1:9/key RTSP/1.0\nCSeq: 1\n\n"), Instant::now());
        let refusal = dialogue.take_camera(message("RTSP/1.0 401 No\nCSeq: 1\nWWW-Authenticate: Kerberos\n\n"));
        assert_eq!(refusal, Err(Refusal::Challenge("Kerberos".to_owned())));
    }
}
