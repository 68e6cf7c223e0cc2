//! A camera that does exactly what a [`Case`] says: RTSP, session description, RTP and RTCP under control, where
//! [`crate::camera`] is a well-behaved server.
//!
//! | module | contents |
//! | --- | --- |
//! | [`case`] | the description of a camera |
//! | [`media`] | its video, encoded once by FFmpeg |
//! | [`session`], [`sender`] | its answers and its packets, without IO |
//! | [`annex_b`], [`fields`], [`rtp`] | NAL units, field pictures, packets |

pub mod annex_b;
pub mod case;
pub mod fields;
pub mod media;
pub mod rtp;
pub mod sender;
pub mod session;

use std::net::TcpListener as StdListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use case::Case;
use sender::{Packet, Sender};
use session::{Request, Session, Then, Transport};

/// A camera in a thread of its own: neither a busy test nor another camera makes it late. It ends with this.
#[derive(Debug)]
pub struct ScriptedCamera {
    name: &'static str,
    port: u16,
    record: Arc<Record>,
    /// Dropped to end the thread.
    _running: oneshot::Sender<()>,
}

/// What a camera was asked and has sent.
#[derive(Debug, Default)]
struct Record {
    requests: Mutex<Vec<Request>>,
    /// Frames of all sessions.
    frames: AtomicUsize,
}

impl ScriptedCamera {
    /// Starts a camera.
    pub fn start(case: Case) -> Self {
        // Encoding takes time that would be missing while a relay waits.
        case.media.access_units();
        let name = case.name;
        let listener = StdListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket can be");
        let port = listener.local_addr().expect("an address").port();
        let record = Arc::new(Record::default());
        let (running, ended) = oneshot::channel::<()>();
        let serving = record.clone();
        std::thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).expect("a runtime runs");
                tokio::select! {
                    () = accept(listener, case.into(), serving) => {}
                    _ = ended => {}
                }
            });
        });
        Self { name, port, record, _running: running }
    }

    /// Its address. `login` is empty or ends with `@`.
    pub fn url(&self, login: &str) -> String {
        format!("rtsp://{login}127.0.0.1:{}/{}", self.port, self.name)
    }

    /// How often it was sent a method.
    pub fn count(&self, method: &str) -> usize {
        let requests = self.record.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.iter().filter(|request| request.method == method).count()
    }

    /// How many frames it has sent in all sessions.
    pub fn frames(&self) -> usize {
        self.record.frames.load(Ordering::Relaxed)
    }
}

async fn accept(listener: TcpListener, case: Arc<Case>, record: Arc<Record>) {
    // Aborts its tasks when it is dropped.
    let mut connections = JoinSet::new();
    loop {
        let (connection, _) = listener.accept().await.expect("it listens");
        connections.spawn(serve(connection, case.clone(), record.clone()));
        while connections.try_join_next().is_some() {}
    }
}

/// Serves one connection until it ends.
async fn serve(connection: TcpStream, case: Arc<Case>, record: Arc<Record>) -> Option<()> {
    let (reader, mut writer) = connection.into_split();
    let (sender, mut requests_in) = mpsc::channel(16);
    // In a task of its own: a read that is cancelled in the middle of a request would lose its beginning.
    let mut reading = JoinSet::new();
    reading.spawn(read_requests(BufReader::new(reader), sender));
    let first = requests_in.recv().await?;
    if first.path() != case.name {
        let not_found = format!("RTSP/1.0 404 Not Found\r\nCSeq: {}\r\n\r\n", first.header("cseq"));
        return writer.write_all(not_found.as_bytes()).await.ok();
    }
    let (mut session, mut sender, mut request) = (Session::new(&case), None, Some(first));
    let udp = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let (mut start, mut last_request) = (Instant::now(), Instant::now());
    loop {
        if case.needs_keepalives && last_request.elapsed().as_secs() > case.session_timeout.into() {
            return None;
        }
        if let Some(request) = request.take() {
            record.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
            let (answer, then) = session.answer(&request);
            if request.method == "SETUP" {
                for packet in sender::before_playing(&case) {
                    send(&packet, &session, &mut writer, &udp).await?;
                }
            }
            for part in answer.parts() {
                writer.write_all(part).await.ok()?;
            }
            last_request = Instant::now();
            match then {
                Then::Continue => {}
                Then::Play => (sender, start) = (Some(Sender::new(&case)), Instant::now()),
                Then::Close => return None,
            }
        }
        let due = sender.as_ref().and_then(Sender::due).map(|due| start + due);
        tokio::select! {
            () = sleep_until(due.unwrap_or(start)), if due.is_some() => {
                for packet in sender.iter_mut().flat_map(Sender::send) {
                    send(&packet, &session, &mut writer, &udp).await?;
                }
                record.frames.fetch_add(sender.as_mut().map_or(0, Sender::take_sent), Ordering::Relaxed);
                // A camera without pauses reads requests as well.
                tokio::task::yield_now().await;
            }
            read = requests_in.recv() => request = Some(read?),
        }
    }
}

async fn send(packet: &Packet, session: &Session<'_>, writer: &mut OwnedWriteHalf, udp: &UdpSocket) -> Option<()> {
    match session.transports[packet.track] {
        Some(Transport::Interleaved(channel)) => {
            let bytes = rtp::interleaved(channel + u8::from(packet.control), &packet.bytes);
            writer.write_all(&bytes).await.ok()
        }
        Some(Transport::Udp(port)) => {
            // The RTSP connection tells that the viewer has left.
            let _ = udp.send_to(&packet.bytes, ("127.0.0.1", port + u16::from(packet.control))).await;
            Some(())
        }
        None => Some(()),
    }
}

async fn read_requests(mut reader: BufReader<OwnedReadHalf>, requests: mpsc::Sender<Request>) {
    while let Some(request) = read_request(&mut reader).await {
        if requests.send(request).await.is_err() {
            return;
        }
    }
}

/// Reads the next request; skips the viewer's RTCP. None at the end of the connection.
async fn read_request(reader: &mut BufReader<OwnedReadHalf>) -> Option<Request> {
    let mut text = Vec::new();
    loop {
        match reader.read_u8().await.ok()? {
            b'$' if text.is_empty() => {
                let _channel = reader.read_u8().await.ok()?;
                let length = reader.read_u16().await.ok()?;
                reader.read_exact(&mut vec![0; length.into()]).await.ok()?;
            }
            byte => text.push(byte),
        }
        if text.ends_with(b"\r\n\r\n") {
            return Some(Request::parse(&String::from_utf8_lossy(&text)));
        }
    }
}
