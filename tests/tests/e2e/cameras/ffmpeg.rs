//! Sources that FFmpeg reads: the hosts that they lead to, the size of their frames, and their pace.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sightline_tests::http::Server;
use sightline_tests::process::Owned;
use sightline_tests::run::{until, within};
use sightline_tests::scripted_camera::case::Login;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const TEST: Duration = Duration::from_secs(90);
const WATCHED: Duration = Duration::from_secs(5);
/// Another host than the sources', which are on 127.0.0.1.
const INNER: &str = "127.0.0.2";

/// A server of the inner network that counts its connections.
async fn inner_server() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((INNER, 0)).await.expect("a free port");
    let (address, count) = (listener.local_addr().expect("it is bound"), Arc::new(AtomicUsize::new(0)));
    let counted = count.clone();
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    (address, count)
}

/// A server on 127.0.0.1. `serve` gets each connection with the path of its request.
async fn http_server<Serving: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(TcpStream, String) -> Serving + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await.is_ok_and(|length| length > 0) {}
            let path = String::from_utf8_lossy(&head).split(' ').nth(1).unwrap_or_default().to_owned();
            tokio::spawn(serve(stream, path));
        }
    });
    address
}

/// FFmpeg's output for these arguments.
fn made(args: &str) -> Vec<u8> {
    let mut ffmpeg = Command::new("ffmpeg");
    let output =
        ffmpeg.args(["-v", "error", "-f", "lavfi"]).args(args.split(' ')).output().expect("ffmpeg is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The sentence of a stream that is offline, with these words.
async fn told(relay: &Relay, stream: &str, words: &str) {
    let watched = watch(relay, stream.to_owned(), Some(&[words]), WATCHED).await;
    let said = watched.offline.last().unwrap_or_else(|| panic!("{stream}: nothing was said"));
    say(&format!("{stream:<14} {FFMPEG:<7} {said}"));
    assert!(said.contains(words), "{stream}: {words:?} in {said:?}");
}

#[test]
fn source_that_leads_to_another_host_is_refused_and_nothing_is_fetched() {
    within(TEST, async || {
        let (inner, count) = inner_server().await;
        let moved = http_server(move |mut stream, _| async move {
            let answer = format!("HTTP/1.1 302 Found\r\nLocation: http://{inner}/a.ts\r\nContent-Length: 0\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes()).await;
        })
        .await;
        let playlist = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://{inner}/0.ts\n");
        let playlists = HashMap::from([("/a.m3u8", ("application/vnd.apple.mpegurl", playlist.into_bytes()))]);
        let playlists = Server::start(playlists).await;
        let redirect = format!("302 Moved\r\nLocation: rtsp://{inner}/a").leak();
        let case = Case { refusal: Some(("DESCRIBE", redirect)), ..Case::new("redirect") };
        let camera = ScriptedCamera::start(case);
        let config = format!(
            "[streams.http]\nsource = \"http://{moved}/a\"\n[streams.hls]\nsource = \"{}\"\n\
             [streams.rtsp]\nsource = \"{}\"\nreader = \"ffmpeg\"\n\
             [streams.allowed]\nsource = \"http://{moved}/a\"\nredirect_hosts = [\"{INNER}\"]\n",
            playlists.url("/a.m3u8"),
            camera.url(""),
        );
        let relay = Setup::config(config).start().await;
        told(&relay, "http", "leads to another host").await;
        told(&relay, "hls", "leads to another host").await;
        told(&relay, "rtsp", "leads to another address").await;
        assert_eq!(count.load(Ordering::Relaxed), 0, "connections to the inner network");
        let _viewer = Viewer::playing(&relay, "allowed", &PLAYS_BOTH).await.watch();
        until("the host that is allowed to be reached", START, async || {
            (count.load(Ordering::Relaxed) > 0).then_some(())
        })
        .await;
    });
}

#[test]
fn description_of_too_many_media_is_refused_and_never_reaches_ffmpeg() {
    within(TEST, async || {
        let lines = |count| &*vec!["m=audio 0 RTP/AVP 0"; count].leak();
        let many = Case { sdp_before: lines(1000), ..Case::new("many") };
        let more = Case { sdp_before: lines(20_000), ..Case::new("more") };
        let rows = [Row::new(&many, AUTO), Row::new(&many, FFMPEG), Row::new(&more, FFMPEG)];
        let words: [Option<&[&str]>; 3] = [Some(&["64 media"]), Some(&["64 media"]), Some(&["256 KiB"])];
        let scene = Scene::open(&rows).await;
        for (watched, words) in scene.watch_until(&rows, &words, WATCHED).await.iter().zip(words) {
            let said = watched.offline.last().expect("a sentence");
            assert!(words.is_some_and(|words| said.contains(words[0])), "{said}");
        }
    });
}

#[test]
fn frames_beyond_the_largest_are_refused() {
    within(TEST, async || {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let file = folder.path().join("large.mp4");
        let video = "-i color=s=8192x8192:r=1 -frames:v 2 -c:v libx264 -preset ultrafast -bf 0 -f mp4";
        made(&format!("{video} {}", file.display()));
        let relay = Setup::config(format!("[streams.large]\nsource = \"{}\"\n", file.display())).start().await;
        told(&relay, "large", "larger than 8192x4352").await;
    });
}

#[test]
fn ffmpeg_is_logged_in_by_the_relay_and_gets_no_password() {
    within(TEST, async || {
        let login = Login { algorithms: &["SHA-256"], strict: true, user: "admin", password: "secret" };
        let rows =
            [Row { login: "admin:secret@", ..Row::new(&Case { login: Some(login), ..Case::new("sha") }, FFMPEG) }];
        let scene = Scene::open(&rows).await;
        let _viewer = Viewer::playing(&scene.relay, &rows[0].stream(), &PLAYS_BOTH).await.watch();
        let ffmpeg = scene.relay.wait_for_ffmpegs(1, START).await.remove(0);
        let arguments = ffmpeg.command.join(" ");
        assert!(arguments.contains("rtsp://127.0.0.1") && !arguments.contains("secret"), "{arguments}");
        scene.watch(&rows, WATCHED).await[0].plays("sha", 15.0, WATCHED);
    });
}

#[test]
fn udp_camera_plays_behind_the_guard() {
    within(TEST, async || {
        let udp = Case { udp_only: true, ..Case::new("udp") };
        let rows = [Row { options: "rtsp_transport = \"udp\"\n", ..Row::new(&udp, FFMPEG) }];
        let scene = Scene::open(&rows).await;
        scene.watch(&rows, WATCHED).await[0].plays("udp", 15.0, WATCHED);
    });
}

/// JPEG images over HTTP have no times: FFmpeg alone takes them for 25 frames a second.
#[test]
fn jpeg_over_http_plays_at_its_own_rate() {
    within(TEST, async || {
        let image: Arc<[u8]> = made("-i testsrc2=s=320x240 -frames:v 1 -c:v mjpeg -f image2pipe -").into();
        let camera = http_server(move |mut stream, _| {
            let image = image.clone();
            async move {
                let start = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n";
                let mut sent = stream.write_all(start).await;
                let mut due = tokio::time::interval(Duration::from_millis(200));
                while sent.is_ok() {
                    due.tick().await;
                    let head =
                        format!("--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", image.len());
                    sent = stream.write_all(&[head.as_bytes(), &image, b"\r\n"].concat()).await;
                }
            }
        })
        .await;
        let config = format!("[streams.jpeg]\nsource = \"http://{camera}/video.cgi\"\nencode = \"h264\"\n");
        let relay = Setup::config(config).start().await;
        let watched = watch(&relay, "jpeg".to_owned(), None, WATCHED).await;
        watched.plays("jpeg", 5.0, WATCHED);
    });
}

/// Segments of 2 s come at once. Shown as they come, most frames would come at the same time as the one before.
#[test]
fn live_hls_plays_at_the_pace_of_its_times() {
    within(TEST, async || {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let at = folder.path().display().to_string();
        made(&format!(
            "-i testsrc2=s=320x240:r=15 -t 40 -c:v libx264 -preset ultrafast -g 30 -bf 0 -f hls -hls_time 2 \
             -hls_list_size 0 -hls_segment_filename {at}/%d.ts {at}/all.m3u8"
        ));
        let begun = Instant::now();
        let server = http_server(move |mut stream, path| {
            let at = at.clone();
            async move {
                let body = if path.ends_with(".m3u8") {
                    let first = begun.elapsed().as_secs() / 2;
                    let segments: String = (first..first + 3).map(|n| format!("#EXTINF:2,\n{n}.ts\n")).collect();
                    let head = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
                    format!("{head}{segments}").into_bytes()
                } else {
                    tokio::fs::read(format!("{at}{path}")).await.unwrap_or_default()
                };
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
            }
        })
        .await;
        let config = format!("[streams.hls]\nsource = \"http://{server}/live.m3u8\"\n");
        let relay = Setup::config(config).start().await;
        let span = Duration::from_secs(8);
        let watched = watch(&relay, "hls".to_owned(), None, span).await;
        watched.plays("hls", 15.0, span);
        let gaps = watched.times.windows(2).map(|pair| pair[1].0 - pair[0].0);
        let (apart, all) = (gaps.clone().filter(|gap| *gap > Duration::from_millis(10)).count(), gaps.count());
        assert!(apart * 2 > all, "{apart} of {all} frames came apart from the one before");
    });
}

/// The other program gives the pace: FFmpeg must not wait besides.
#[test]
fn named_pipe_is_not_paced() {
    within(TEST, async || {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let pipe = folder.path().join("live.ts");
        assert!(Command::new("mkfifo").arg(&pipe).status().expect("it is installed").success());
        let config = format!("[streams.pipe]\nsource = \"{}\"\n", pipe.display());
        let relay = Setup::config(config).start().await;
        let _viewer = Viewer::playing(&relay, "pipe", &PLAYS_BOTH).await.watch();
        let reader = relay.wait_for_ffmpegs(1, START).await.remove(0);
        assert!(!reader.command.iter().any(|argument| argument == "-re"), "{:?}", reader.command);
        let mut writer = Command::new("ffmpeg");
        let video = "-re -f lavfi -i testsrc2=s=320x240:r=15 -c:v libx264 -preset ultrafast -g 15 -bf 0 -f mpegts -y";
        writer.args(["-v", "error"]).args(video.split(' ')).arg(&pipe);
        let _writer = Owned::start("writer", &mut writer).expect("ffmpeg is installed");
        watch(&relay, "pipe".to_owned(), None, WATCHED).await.plays("pipe", 15.0, WATCHED);
    });
}

/// The camera begins with another size in the middle of its stream, as FFmpeg's muxer does not notice.
#[test]
fn size_that_changes_in_mid_stream_begins_an_epoch() {
    within(TEST, async || {
        let part = |size: &str, codec: &str, from: u32, seconds: u32| {
            made(&format!(
                "-i testsrc2=s={size}:r=15 -t {seconds} -c:v {codec} -preset ultrafast -tune zerolatency -g 15 -bf 0 \
                 -output_ts_offset {from} -f mpegts -"
            ))
        };
        let folder = tempfile::tempdir().expect("a temporary directory");
        let mut config = String::new();
        for (name, codec) in [("h264", "libx264"), ("h265", "libx265")] {
            let file = folder.path().join(format!("{name}.ts"));
            let parts = [part("320x240", codec, 0, 3), part("480x640", codec, 3, 8)];
            std::fs::write(&file, parts.concat()).expect("it is writable");
            config += &format!("[streams.{name}]\nsource = \"{}\"\n", file.display());
        }
        let relay = Setup::config(config).start().await;
        let each = ["h264", "h265"].map(|name| watch(&relay, name.to_owned(), None, Duration::from_secs(8)));
        for watched in join_all(each).await {
            assert!(
                watched.offline.is_empty() && watched.errors.is_empty(),
                "{:?} {}",
                watched.offline,
                watched.errors
            );
            assert_eq!(watched.epochs.len(), 2);
            let count = |size| watched.decoded.iter().filter(|decoded| *decoded == size).count();
            let (before, after) = (count("320,240"), count("480,640"));
            say(&format!("{before} frames before, {after} after"));
            assert!((40..=45).contains(&before) && after > 10, "{before}, {after}");
        }
    });
}
