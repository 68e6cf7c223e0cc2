//! HTTP/2 over the relay's own TLS: more requests at a time than HTTP/1.1 has connections.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sightline_tests::browser::{Browser, Rgb, TileState, WALL};
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::http2::Client;
use sightline_tests::playlist::Playlist;
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{say, until, within};
use sightline_tests::tls::{Files, Identity};
use sightline_tests::viewer::{PLAYS_H264, Viewer};

const CAM: Mount = Mount { path: "cam", kind: Kind::H264, mark: Rgb(0x20, 0x40, 0xc0) };
/// Streams of a wall. A browser has six connections of HTTP/1.1 to a host.
const TILES: usize = 9;
const TEST: Duration = Duration::from_secs(120);
const START: Duration = Duration::from_secs(30);

/// A relay with nine streams, and what it needs.
async fn wall(identity: &Identity) -> (Files, Relay) {
    let camera = Camera::shared(&[CAM]).await;
    let files = Files::new(identity);
    let streams: String = (1..TILES).map(|n| camera.stream(&format!("cam{n}"), CAM.path, "")).collect();
    let relay = Setup::config(format!("{}\n{streams}\n{}", camera.config(), files.config())).start().await;
    (files, relay)
}

fn name(n: usize) -> String {
    if n == 0 { CAM.path.to_owned() } else { format!("{}{n}", CAM.path) }
}

/// The playlist of tile `n`, of a segment that has begun.
async fn playlist(client: &Client, n: usize, query: &str) -> Option<Playlist> {
    let path = format!("/hls/{}/copy/media.m3u8{query}", name(n));
    let (status, text) = client.get(&path).await.expect("the connection is open");
    (status == 200 && text.contains("EXT-X-PRELOAD-HINT")).then(|| Playlist::read(&text))
}

/// Follows the live edge of tile `n` for five seconds, as a player does. Returns the seconds that each update took.
async fn follow(client: &Client, n: usize) -> Vec<f64> {
    let mut known = until("a playlist", START, async || playlist(client, n, "").await).await;
    let (mut waits, begun) = (Vec::new(), Instant::now());
    while begun.elapsed() < Duration::from_secs(5) {
        let ((msn, part), asked) = (known.edge(), Instant::now());
        // The next part comes by a request of its own, beside the one for the playlist.
        let hint = format!("/hls/{}/copy/{}", name(n), known.hint);
        let query = format!("?_HLS_msn={msn}&_HLS_part={part}");
        let (part, next) = tokio::join!(client.get(&hint), playlist(client, n, &query));
        let (status, bytes) = part.expect("the connection is open");
        assert!(status == 200 && !bytes.is_empty(), "{hint}: {status}");
        let next = next.expect("a playlist");
        assert!(next.edge() > known.edge(), "{:?} is not after {:?}", next.edge(), known.edge());
        waits.push(asked.elapsed().as_secs_f64());
        known = next;
    }
    waits
}

#[test]
fn nine_blocked_playlists_are_answered_at_once_over_one_connection() {
    within(TEST, async || {
        let identity = Identity::new();
        let (_files, relay) = wall(&identity).await;
        let connection = identity.connect(relay.address()).await.expect("a connection");
        let viewer = Viewer::playing_over(connection, &relay, CAM.path, &PLAYS_H264).await.watch();
        let client = Client::connect(&identity, relay.address()).await.expect("HTTP/2");
        let waits = join_all((0..TILES).map(|n| follow(&client, n))).await;
        let longest = waits.iter().flatten().copied().fold(0.0, f64::max);
        let least = waits.iter().map(Vec::len).min().expect("some");
        say(&format!("{TILES} tiles: each had {least} updates or more in 5 s, the longest wait was {longest:.2} s"));
        // A tile that waited for the eight others would have an eighth of the updates.
        assert!(least >= 8 && longest < 1.5, "{least} updates, {longest} s");
        assert!(!client.is_closed());
        assert!(viewer.seen().losses.is_empty(), "{:?}", viewer.seen().losses);
    });
}

mod browser {
    use super::*;

    /// Frames of a second.
    const FRAMES: u64 = 25;

    #[test]
    fn nine_hls_tiles_play_over_http_2() {
        within(TEST, async || {
            let (_files, relay) = wall(&Identity::new()).await;
            Browser::each(async |browser| {
                browser.resize(WALL).await;
                let engine = browser.engine();
                browser.open(&relay.url("/?protocol=hls")).await;
                // How many of them play at a time is up to this machine's processor: 27 decoders run in three browsers.
                let mut waiting: Vec<_> = (0..TILES).map(name).collect();
                let what = format!("{engine}: {FRAMES} frames in each of {TILES} tiles");
                let all_played = async || {
                    let mut still = Vec::new();
                    for stream in waiting.drain(..) {
                        let tile = browser.tile(&stream).await;
                        if tile.is_none_or(|tile| tile.state != TileState::Live || tile.frames < FRAMES) {
                            still.push(stream);
                        }
                    }
                    waiting = still;
                    waiting.is_empty().then_some(())
                };
                until(&what, START * 2, all_played).await;
                let script =
                    "return [...new Set(performance.getEntriesByType('resource').map(e => e.nextHopProtocol))]";
                let protocols = browser.script(script, vec![]).await;
                assert_eq!(protocols.to_string(), "[\"h2\"]", "{engine}");
            })
            .await;
        });
    }
}
