//! The relay's WebRTC: decoded frames in Chromium over UDP and TCP, a session's resources and their release, invalid offers, and
//! forged nominations.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sightline_protocol::stream::Variant;
use sightline_tests::browser::{Browser, Engine, Rgb, STALL};
use sightline_tests::camera::{Camera, Kind, LINGER_SECONDS, Mount};
use sightline_tests::http::{self, Response};
use sightline_tests::offer::offer;
use sightline_tests::peer::Peer;
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{say, until, within};
use str0m::format::Codec;
use tokio::net::UdpSocket;
use tokio::time::timeout;

const H264: Mount = Mount { path: "red", kind: Kind::H264Long, mark: Rgb(0xc0, 0x40, 0x20) };
const H265: Mount = Mount { path: "blue", kind: Kind::H265, mark: Rgb(0x20, 0x40, 0xc0) };
const BFRAMES: Mount = Mount { path: "bframes", kind: Kind::BFrames, mark: Rgb(0xa0, 0x20, 0xa0) };

const TEST: Duration = Duration::from_secs(60);
/// The time limit from a cold source to a frame, with FFmpeg to be started on a busy machine.
const START: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_secs(10);
const WATCHED: Duration = Duration::from_secs(2);
/// The frames of two seconds from a camera. A busy machine takes longer.
const FRAMES: u64 = 50;
/// Forged nominations, four a second.
const FORGED: u32 = 40;
/// The relay drops a silent viewer after eight seconds, and one that never connected after ten.
const GONE: Duration = Duration::from_secs(14);
/// FFmpeg runs for the configured idle timeout and is then stopped.
const STOPPED: Duration = Duration::from_secs(LINGER_SECONDS + 6);

/// Watches a stream in the page: creates an offer, posts it, and counts presented frames, in a tile that the latency probe
/// finds by the path.
const WATCH: &str = r"
const [path] = arguments;
const video = document.createElement('video');
Object.assign(video, { muted: true, autoplay: true, playsInline: true });
const tile = document.createElement('article');
tile.className = 'tile';
tile.dataset.stream = path;
tile.append(video);
document.body.append(tile);
const whep = { video, frames: 0, first: null, began: performance.now(), peer: new RTCPeerConnection() };
const count = () => {
    whep.frames += 1;
    whep.first ??= performance.now() - whep.began;
    video.requestVideoFrameCallback(count);
};
video.requestVideoFrameCallback(count);
whep.peer.ontrack = event => {
    event.receiver.jitterBufferTarget = 0;
    video.srcObject = new MediaStream([event.track]);
};
(window.viewers ??= []).push(whep);
whep.peer.addTransceiver('audio', { direction: 'recvonly' });
whep.peer.addTransceiver('video', { direction: 'recvonly' });
const offer = await whep.peer.createOffer();
await whep.peer.setLocalDescription(offer);
const headers = { 'Content-Type': 'application/sdp' };
const answer = await fetch(path, { method: 'POST', headers, body: offer.sdp });
const text = await answer.text();
if (answer.status !== 201) return { status: answer.status, text };
whep.url = new URL(answer.headers.get('Location'), answer.url).href;
await whep.peer.setRemoteDescription({ type: 'answer', sdp: text });
return { status: answer.status, text };";

/// The state of the newest viewer.
const READ: &str = r"
const whep = window.viewers.at(-1);
const found = { frames: whep.frames, first: whep.first, dtls: whep.peer.getReceivers()[1].transport.state, pixel: null };
const stats = await whep.peer.getStats();
for (const entry of stats.values()) {
    if (entry.type === 'inbound-rtp' && entry.kind === 'video') {
        found.codec = stats.get(entry.codecId)?.mimeType ?? null;
        found.decoded = entry.framesDecoded;
        found.plis = entry.pliCount;
        found.lost = entry.packetsLost;
        found.buffer = entry.jitterBufferEmittedCount ? entry.jitterBufferDelay / entry.jitterBufferEmittedCount : null;
    }
    if (entry.type === 'candidate-pair' && entry.nominated && entry.state === 'succeeded') {
        found.protocol = stats.get(entry.localCandidateId)?.protocol ?? null;
    }
}
const { video } = whep;
if (video.videoWidth) {
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    const context = canvas.getContext('2d');
    context.drawImage(video, 0, 0);
    const at = (x, y) => [...context.getImageData(x * canvas.width, y * canvas.height, 1, 1).data];
    const pixels = [at(0.1, 0.1), at(0.9, 0.1), at(0.1, 0.9), at(0.9, 0.9), at(0.5, 0.5)];
    found.pixel = [0, 1, 2].map(channel => pixels.map(p => p[channel]).sort((a, b) => a - b)[2]);
}
return found;";

const DELETE: &str = "return (await fetch(window.viewers[arguments[0]].url, { method: 'DELETE' })).status";

/// Wraps a script in an `async` function, so that it can use `await`.
fn waiting(script: &str) -> String {
    format!("return (async function () {{ {script} }}).apply(null, arguments)")
}

/// A page of the relay without a player, in the only browser that uses ICE on 127.0.0.1.
async fn page(relay: &Relay) -> Option<Browser> {
    let browser = Browser::start(Engine::Chromium).await?;
    browser.open(&relay.url("/api/none")).await;
    Some(browser)
}

async fn watch(browser: &Browser, path: &str) {
    let answer = browser.script(&waiting(WATCH), vec![json!(path)]).await;
    assert_eq!(answer["status"], 201, "{path}: {answer}");
}

async fn read(browser: &Browser) -> Value {
    browser.script(&waiting(READ), vec![]).await
}

/// Asserts that frames of this camera are presented, and returns the viewer's state.
async fn shows(browser: &Browser, mount: Mount) -> Value {
    let count = |found: &Value| found["frames"].as_u64().unwrap_or(0);
    let begun = count(&read(browser).await);
    let presented = async || Some(read(browser).await).filter(|found| count(found) >= begun + FRAMES);
    let after = until(&format!("{FRAMES} pictures of {}", mount.path), START, presented).await;
    let channel = |index: usize| u8::try_from(after["pixel"][index].as_u64().unwrap_or(0)).unwrap_or(0);
    let seen = Rgb(channel(0), channel(1), channel(2));
    assert!(seen.is_like(mount.mark), "{} shows {seen}: {after}", mount.path);
    after
}

#[test]
fn h265_is_sent_untouched_with_the_camera_s_timing() {
    within(TEST, async || {
        let mut camera = Camera::start(&[H265]).await;
        let relay = Setup::config(camera.config()).start().await;
        let mut peer = Peer::watch(&relay, "/whep/blue", &[Codec::H264, Codec::H265]).await;
        peer.run(START, |_, peer| peer.pictures.len() < 60).await;
        relay.wait_for_viewers("blue", Variant::Copy, 1, Duration::from_secs(1)).await;
        assert!(relay.encoders().is_empty(), "{:?}", relay.encoders());
        let pictures = &peer.pictures;
        assert!(pictures.len() >= 60 && pictures.iter().all(|picture| picture.codec == Codec::H265));
        for key in pictures.iter().filter(|picture| picture.is_key()) {
            assert_eq!(key.units()[..3], [32, 33, 34], "behind its parameter sets: {:?}", key.units());
        }
        assert!(pictures[0].is_key(), "{:?}", pictures[0].units());
        let live = &pictures[pictures.len() - 25..];
        let steps: Vec<u64> = live.windows(2).map(|pair| pair[1].time - pair[0].time).collect();
        // A camera on a busy machine omits frames. The timestamps of the others are unaffected.
        let of_frames = steps.iter().all(|step| (step + 200) % 3600 <= 400);
        assert!(of_frames, "at 25 frames a second, times are multiples of 3600 ticks apart: {steps:?}");

        // Another epoch, on another timeline, for the same viewer.
        let before = pictures.len();
        camera.restart().await;
        peer.run(START, |_, peer| peer.pictures.len() < before + 50).await;
        let pictures = &peer.pictures;
        assert!(pictures.len() >= before + 50, "{} pictures after the camera's restart", pictures.len() - before);
        let ordered = pictures.windows(2).all(|pair| (1..10 * 90_000).contains(&(pair[1].time - pair[0].time)));
        assert!(ordered, "times go on as the clock does");
        drop(peer);

        let mut peer = Peer::watch(&relay, "/whep/blue?codec=h264", &[Codec::H264, Codec::H265]).await;
        peer.run(START, |_, peer| peer.pictures.is_empty()).await;
        assert_eq!(peer.pictures.first().map(|picture| picture.codec), Some(Codec::H264), "it asked for it");
        let mut peer = Peer::watch(&relay, "/whep/blue?codec=h264", &[Codec::H265]).await;
        peer.run(START, |_, peer| peer.pictures.is_empty()).await;
        assert_eq!(peer.pictures.first().map(|picture| picture.codec), Some(Codec::H265), "it offers nothing else");
    });
}

#[test]
fn key_frame_request_flood_repeats_the_gop_at_a_limited_rate() {
    within(TEST, async || {
        let camera = Camera::start(&[H264]).await;
        let relay = Setup::config(camera.config()).start().await;
        let mut peer = Peer::watch(&relay, "/whep/red", &[Codec::H264]).await;
        peer.run(START, |_, peer| peer.pictures.is_empty()).await;
        let before = peer.pictures.len();
        let mut asked = 0;
        let span = Duration::from_secs(6);
        peer.run(span, |passed, peer| {
            if passed >= Duration::from_millis(50) * asked {
                asked += 1;
                peer.ask_for_key_frame();
            }
            true
        })
        .await;
        let got = &peer.pictures[before..];
        let keys = got.iter().filter(|picture| picture.is_key()).count();
        assert!(asked > 60 && (1..=4).contains(&keys), "{keys} key frames for {asked} requests");
        assert!(got.len() >= 75 && got.len() <= 2 * 25 * 6 + 150, "{} pictures in {span:?}", got.len());
        assert!(got.windows(2).all(|pair| pair[0].time < pair[1].time), "times never go back");
        // Afterwards the viewer is live again: the last second contains no more than a second of frames.
        let newest = got.last().expect("there are some").time;
        let second = got.iter().filter(|picture| picture.time + 90_000 > newest).count();
        assert!(second <= 110, "{second} pictures in the last second");
    });
}

async fn send(relay: &Relay, method: &str, path: &str, kind: &str, body: impl Into<Vec<u8>>) -> Response {
    let sent = http::send(relay.address(), method, path, &[("Content-Type", kind)], body.into()).await;
    sent.unwrap_or_else(|e| panic!("{method} {path}: {e}"))
}

async fn post(relay: &Relay, path: &str, body: impl Into<Vec<u8>>) -> Response {
    send(relay, "POST", path, "application/sdp", body).await
}

fn refused(answer: &Response, status: u16, words: &str) {
    let text = answer.text();
    assert!(answer.status == status && text.contains(words), "{} {text:?}, not {status} {words:?}", answer.status);
    assert!(text.ends_with(".\n") && text.lines().count() == 1, "one sentence: {text:?}");
}

#[test]
fn unanswerable_offers_are_refused_with_a_reason() {
    within(TEST, async || {
        let camera = Camera::start(&[H264]).await;
        let servers = "[[webrtc.ice_servers]]\nurl = \"stun:stun.example.org\"\n";
        let wall = "https://wall.example.org";
        let config = format!("allowed_origins = [\"{wall}\"]\n{}{servers}", camera.config());
        let relay = Setup::config(config).start().await;
        refused(&post(&relay, "/whep/red", "hello").await, 400, "not an SDP offer");
        refused(&post(&relay, "/whep/red", vec![0xff; 10]).await, 400, "not text");
        refused(&post(&relay, "/whep/red", "v=0\r\n".repeat(200_000)).await, 413, "64 KiB");
        refused(&post(&relay, "/whep/red", offer(&["opus"])).await, 406, "no video");
        refused(&post(&relay, "/whep/red", offer(&["opus", "VP8"])).await, 406, "H.264 or H.265");
        refused(
            &post(&relay, "/whep/red", offer(&["opus", "H265"])).await,
            406,
            "camera's video cannot be sent as H.265",
        );
        refused(&post(&relay, "/whep/nope", offer(&["opus", "H264"])).await, 404, "There is no stream named nope");
        refused(&send(&relay, "POST", "/whep/red", "application/json", "{}").await, 415, "application/sdp");
        refused(&send(&relay, "GET", "/whep/red", "text/plain", "").await, 405, "POST");
        refused(&send(&relay, "DELETE", "/whep/red/0123", "text/plain", "").await, 404, "no such session");

        let answer = post(&relay, "/whep/red", offer(&["opus", "H264"])).await;
        assert_eq!((answer.status, answer.header("content-type")), (201, "application/sdp"), "{}", answer.text());
        assert_eq!(answer.header("link"), "<stun:stun.example.org>; rel=\"ice-server\"");
        assert!(answer.text().contains("a=ice-lite") && answer.text().contains("tcptype passive"), "{}", answer.text());
        let location = answer.header("location");
        let (stream, id) = location.split_once('/').expect("relative to /whep/");
        assert!(stream == "red" && id.len() == 32, "{location}");
        let session = format!("/whep/{location}");

        let kind = "application/trickle-ice-sdpfrag";
        let candidate = "a=ice-ufrag:EsAw\r\na=candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host\r\n";
        assert_eq!(send(&relay, "PATCH", &session, kind, candidate).await.status, 204);
        refused(&send(&relay, "PATCH", &session, kind, "hello").await, 400, "ICE candidates");
        refused(&send(&relay, "PATCH", &session, "text/plain", candidate).await, 415, "sdpfrag");
        refused(&send(&relay, "PATCH", &session, kind, candidate.replace("EsAw", "other")).await, 422, "restart");
        let headers = [("Content-Type", kind), ("If-Match", "\"other\"")];
        let other = http::send(relay.address(), "PATCH", &session, &headers, candidate.into()).await.unwrap();
        refused(&other, 412, "ETag");
        let elsewhere = format!("/whep/blue/{id}");
        refused(&send(&relay, "DELETE", &elsewhere, "text/plain", "").await, 404, "no such session");
        assert_eq!(send(&relay, "DELETE", &session, "text/plain", "").await.status, 200);
        refused(&send(&relay, "DELETE", &session, "text/plain", "").await, 404, "no such session");

        // Pages of other sites.
        let from = async |method: &str, origin: &str| {
            let headers = [("Origin", origin), ("Content-Type", "application/sdp")];
            http::send(relay.address(), method, "/whep/red", &headers, offer(&["opus", "H264"]).into()).await.unwrap()
        };
        refused(&from("POST", "https://evil.example").await, 403, "allowed_origins");
        refused(&from("OPTIONS", "https://evil.example").await, 403, "allowed_origins");
        let preflight = from("OPTIONS", wall).await;
        assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (204, wall));
        assert!(preflight.header("access-control-allow-methods").contains("POST"));
        let answer = from("POST", wall).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (201, wall));
        assert!(answer.header("access-control-expose-headers").contains("Location"));
    });
}

#[test]
fn abandoned_sessions_are_bounded_and_expire() {
    within(TEST, async || {
        let camera = Camera::start(&[H264]).await;
        let relay = Setup::config(camera.config()).start().await;
        let browser = page(&relay).await;
        if let Some(browser) = &browser {
            watch(browser, "/whep/red").await;
            shows(browser, H264).await;
        }
        let before = relay.resident_kib();
        let (mut made, mut full) = (0, 0);
        for _ in 0..400 {
            let answer = post(&relay, "/whep/red", offer(&["opus", "H264"])).await;
            if answer.status == 201 {
                made += 1;
                continue;
            }
            // Unless the first ones have had their two seconds.
            refused(&answer, 503, "Too many sessions");
            assert_eq!(answer.header("retry-after"), "5");
            full += 1;
        }
        assert!(made >= 256, "{made} sessions, {full} refused");
        let grown = relay.resident_kib().saturating_sub(before);
        say(&format!("WebRTC: {made} abandoned sessions take {grown} KiB"));
        assert!(grown < 64 * 1024, "{grown} KiB");
        if let Some(browser) = &browser {
            shows(browser, H264).await;
            // A page that is left sends no notice either.
            browser.leave().await;
        }
        relay.wait_for_viewers("red", Variant::Copy, 0, GONE).await;
        assert_eq!(post(&relay, "/whep/red", offer(&["opus", "H264"])).await.status, 201, "there is room again");
    });
}

#[test]
fn nominated_address_that_does_not_answer_gets_no_media() {
    within(TEST, async || {
        let camera = Camera::start(&[H264]).await;
        let relay = Setup::config(camera.config()).start().await;
        let mut attacker = Peer::watch(&relay, "/whep/red", &[Codec::H264]).await;
        let mut viewer = Peer::watch(&relay, "/whep/red", &[Codec::H264]).await;
        viewer.run(START, |_, peer| peer.pictures.is_empty()).await;
        let (began, ice) = (viewer.pictures.len(), attacker.ice.clone());
        let victim = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");

        // The attacker keeps its own path alive.
        let (mut requests, mut sent) = (0, 0);
        let forging = async {
            for _ in 0..FORGED {
                let request = ice.nomination();
                (requests, sent) = (requests + 1, sent + request.len());
                victim.send_to(&request, ice.address).await.expect("it is sent");
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        };
        let span = Duration::from_millis(250) * FORGED;
        let watching = viewer.run(span, |_, _| true);
        tokio::join!(forging, watching, attacker.run(span, |_, _| true));
        let (mut received, mut buffer) = (0, vec![0; 2048]);
        let mut newest = Vec::new();
        while let Ok(Ok(length)) = timeout(Duration::from_millis(300), victim.recv(&mut buffer)).await {
            received += length;
            newest = buffer[..length].to_vec();
        }
        say(&format!("WebRTC: {sent} bytes of {requests} forged nominations cause {received} bytes"));
        assert!(received > 0 && received <= sent, "{received} bytes to an address that answers nothing, for {sent}");
        let pictures = &viewer.pictures[began..];
        assert!(pictures.len() >= 100, "{} pictures", pictures.len());
        let steps = pictures.windows(2).map(|pair| pair[1].time - pair[0].time);
        assert!(steps.clone().all(|step| step < 2 * 3600 + 400), "a viewer beside: {:?}", steps.collect::<Vec<_>>());

        // The same address gets the media when it answers.
        victim.send_to(&ice.answer(&newest).expect("a request"), ice.address).await.expect("it is sent");
        let moved = async {
            // SRTP begins with the version 2 (RFC 7983, section 7).
            let mut media = 0;
            while media < FRAMES {
                victim.recv(&mut buffer).await.expect("packets");
                media += u64::from((128..192).contains(&buffer[0]));
            }
        };
        timeout(SOON, moved).await.expect("the media at the address that has answered");
    });
}

#[test]
fn webrtc_can_be_disabled() {
    within(TEST, async || {
        let relay = Setup::config("[streams.a]\nsource = \"x\"\n[webrtc]\nenabled = false\n").start().await;
        refused(&post(&relay, "/whep/a", offer(&["opus", "H264"])).await, 404, "turned off");
        let taken = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let listen = taken.local_addr().expect("it is bound");
        let config = format!("[streams.a]\nsource = \"x\"\n[webrtc]\nlisten = \"{listen}\"\n");
        let (status, said) = Setup::config(config).refusal().await;
        assert!(!status.success() && said.contains("webrtc.listen"), "{said}");
    });
}

mod one_browser {
    use super::*;

    #[test]
    fn chromium_plays_untouched_h264_and_the_source_stops_after_it() {
        within(TEST, async || {
            let camera = Camera::start(&[H264]).await;
            let relay = Setup::config(camera.config()).start().await;
            let Some(browser) = page(&relay).await else { return };
            watch(&browser, "/whep/red").await;
            let found = shows(&browser, H264).await;
            assert_eq!((&found["codec"], &found["protocol"]), (&json!("video/H264"), &json!("udp")), "{found}");
            assert!(relay.encoders().is_empty(), "{:?}", relay.encoders());
            relay.wait_for_viewers("red", Variant::Copy, 1, Duration::from_secs(1)).await;

            // Joins in the middle of a GOP of ten seconds.
            watch(&browser, "/whep/red?codec=h264").await;
            let found = shows(&browser, H264).await;
            let first = found["first"].as_f64().expect("a picture came");
            say(&format!("WebRTC: first picture of a watched stream after {first:.0} ms: {found}"));
            assert!(first < 2000.0, "{found}");
            for path in ["/whep/red", "/whep/red?codec=h264"] {
                let watch = browser.watch_clock(path, WATCHED).await;
                let seen = watch.summary(STALL).expect("pictures with a clock");
                say(&format!(
                    "WebRTC: {path}: from the camera to the screen {:.0} ms, 95 of 100 {:.0}",
                    seen.p50, seen.p95
                ));
                assert!(seen.p50 < 400.0 && seen.backward == 0, "{seen:?}");
            }
            assert_eq!(camera.viewers("red").total, 1, "one connection to the camera");
            relay.wait_for_viewers("red", Variant::Copy, 2, Duration::from_secs(1)).await;

            assert_eq!(browser.script(&waiting(DELETE), vec![json!(1)]).await, 200);
            relay.wait_for_viewers("red", Variant::Copy, 1, Duration::from_secs(2)).await;
            assert_eq!(browser.script(&waiting(DELETE), vec![json!(1)]).await, 404, "it has ended");
            assert_eq!(browser.script(&waiting(DELETE), vec![json!(0)]).await, 200);
            relay.wait_for_viewers("red", Variant::Copy, 0, Duration::from_secs(2)).await;
            relay.wait_for_ffmpegs(0, STOPPED).await;
        });
    }

    #[test]
    fn h265_and_b_frames_use_the_shared_transcode() {
        within(TEST, async || {
            let camera = Camera::start(&[H265, BFRAMES]).await;
            let relay = Setup::config(camera.config()).start().await;
            let Some(browser) = page(&relay).await else { return };
            watch(&browser, "/whep/blue").await;
            let found = shows(&browser, H265).await;
            assert_eq!(found["codec"], "video/H264", "{found}");
            relay.wait_for_viewers("blue", Variant::H264, 1, Duration::from_secs(1)).await;
            assert_eq!(relay.encoders().len(), 1, "{:?}", relay.encoders());

            watch(&browser, "/whep/bframes").await;
            let found = shows(&browser, BFRAMES).await;
            relay.wait_for_viewers("bframes", Variant::H264, 1, Duration::from_secs(1)).await;
            assert!(found["plis"].as_u64() <= Some(3), "sent as they are, B-frames cost dozens: {found}");
        });
    }

    #[test]
    fn ice_tcp_carries_video_without_udp_and_shutdown_is_reported() {
        within(TEST, async || {
            let camera = Camera::start(&[H264]).await;
            let mut relay = Setup::config(format!("{}[webrtc]\nudp = false\n", camera.config())).start().await;
            let Some(browser) = page(&relay).await else { return };
            watch(&browser, "/whep/red").await;
            let found = shows(&browser, H264).await;
            assert_eq!(found["protocol"], "tcp", "{found}");

            let begun = Instant::now();
            let status = relay.end(rustix::process::Signal::TERM, Duration::from_secs(10)).await;
            assert!(
                status.success() && begun.elapsed() < Duration::from_secs(4),
                "{status} after {:?}",
                begun.elapsed()
            );
            let closed = async || (read(&browser).await["dtls"] == "closed").then_some(());
            until("the browser to know", Duration::from_secs(3), closed).await;
        });
    }
}
