//! The event stream: reports changes to permitted clients until the relay stops.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::Signal;
use sightline_protocol::catalogue::{Catalogue, StreamInfo};
use sightline_protocol::message::StreamState;
use sightline_tests::browser::Rgb;
use sightline_tests::camera::{Camera, Kind, Mount};
use sightline_tests::lines::Lines;
use sightline_tests::relay::{Relay, Setup};
use sightline_tests::run::{until, within};
use sightline_tests::viewer::{PLAYS_BOTH, Viewer};

const YARD: Mount = Mount { path: "yard", kind: Kind::H264, mark: Rgb(0x20, 0x40, 0xc0) };
const GATE: Mount = Mount { path: "gate", kind: Kind::H264, mark: Rgb(0xc0, 0x40, 0x20) };

const TEST: Duration = Duration::from_secs(90);
const START: Duration = Duration::from_secs(20);
const SOON: Duration = Duration::from_secs(5);

/// A client of the event stream. HTTP/1.0, so that the body has no transfer coding and ends with the connection.
struct Listener {
    lines: Lines,
    connection: TcpStream,
}

impl Listener {
    fn connect(relay: &Relay, query: &str) -> Self {
        let mut connection = TcpStream::connect(relay.address()).expect("the relay listens");
        write!(connection, "GET /api/events{query} HTTP/1.0\r\nHost: relay\r\n\r\n").expect("the relay reads");
        let lines = Lines::default();
        lines.read(connection.try_clone().expect("a socket can be shared"));
        Self { lines, connection }
    }

    /// The data of all events of that name so far.
    fn told<T: serde::de::DeserializeOwned>(&self, name: &str) -> Vec<T> {
        let (lines, name) = (self.lines.all(), format!("event: {name}"));
        let data = lines.windows(2).filter(|pair| pair[0] == name).map(|pair| pair[1].clone());
        data.map(|line| {
            let json = line.strip_prefix("data: ").unwrap_or_else(|| panic!("no data: {line}"));
            serde_json::from_str(json).unwrap_or_else(|e| panic!("{e}: {json}"))
        })
        .collect()
    }

    /// Waits for a stream's event that satisfies `like`.
    async fn wait_for(&self, what: &str, like: impl Fn(&StreamInfo) -> bool) {
        let told = async || self.told::<StreamInfo>("stream").iter().rev().find(|stream| like(stream)).map(drop);
        until(what, START, told).await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // It may be closed already.
        let _ = self.connection.shutdown(std::net::Shutdown::Both);
    }
}

#[test]
fn stream_changes_are_sent_as_events() {
    within(TEST, async || {
        let camera = Camera::shared(&[YARD, GATE]).await;
        let mut relay = Setup::config(camera.config_by_ffmpeg()).start().await;
        let listener = Listener::connect(&relay, "");
        let first = async || listener.told::<Catalogue>("streams").pop();
        let first = until("what there is", SOON, first).await;
        assert_eq!(first, relay.catalogue().await);
        assert!(first.streams.iter().all(|stream| stream.state == StreamState::Idle), "{first:?}");
        assert!(listener.lines.text().contains("content-type: text/event-stream"), "{}", listener.lines.text());

        let mut viewer = Viewer::playing(&relay, YARD.path, &PLAYS_BOTH).await;
        viewer.wait_ready(START).await;
        let live = |stream: &StreamInfo| {
            let copy = &stream.variants[0];
            stream.name.as_str() == YARD.path && copy.state == StreamState::Live && copy.viewers == 1
        };
        listener.wait_for("the stream to be told live, with a viewer", live).await;
        relay.readers(&camera.url(YARD.path)).iter().for_each(sightline_tests::process::Process::kill);
        let offline = |stream: &StreamInfo| matches!(stream.state, StreamState::Offline { .. });
        listener.wait_for("the failure to be told", offline).await;
        listener.wait_for("the stream to be told live again", live).await;
        drop(viewer);
        listener.wait_for("the viewer's leaving to be told", |stream| stream.variants[0].viewers == 0).await;

        // The other stream has no events, and no two events are equal, although the relay measures rates repeatedly.
        let told = listener.told::<StreamInfo>("stream");
        assert!(told.iter().all(|stream| stream.name.as_str() == YARD.path), "{told:?}");
        assert!(told.len() < 20, "{} events", told.len());
        let mut ending = told.windows(2).map(|pair| (&pair[0].state, &pair[1].state, pair[0] == pair[1]));
        assert!(ending.all(|(_, _, same)| !same), "the same event twice: {told:?}");

        relay.reload(&camera.config_of_by_ffmpeg([GATE.path]));
        let list = async || {
            let last = listener.told::<Catalogue>("streams").pop()?;
            (last.streams.len() == 1 && last.streams[0].name.as_str() == GATE.path).then_some(())
        };
        until("the new list to be told", SOON, list).await;

        // The relay does not wait for event clients.
        let status = relay.end(Signal::TERM, SOON).await;
        assert!(status.success(), "{status}");
    });
}

#[test]
fn token_limits_events_to_its_stream() {
    within(TEST, async || {
        let camera = Camera::shared(&[YARD, GATE]).await;
        let setup = Setup::config(camera.config()).env("SIGHTLINE_TOKEN_KEY", "0123456789abcdef0123456789abcdef");
        let relay = setup.start().await;
        assert_eq!(relay.get("/api/events").await.status, 401);
        // `yard` until 2100.
        const TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjQxMDI0NDQ4MDAsInN0cmVhbXMiOlsieWFyZCJdfQ.sgFbYfmXEPItYmDtDCIwVJQTtmcrq3gA62gT-SzoDGs";
        let listener = Listener::connect(&relay, &format!("?token={TOKEN}"));
        let first = async || listener.told::<Catalogue>("streams").pop();
        let first = until("what there is", SOON, first).await;
        let names: Vec<_> = first.streams.iter().map(|stream| stream.name.as_str()).collect();
        assert_eq!(names, [YARD.path]);
    });
}
