//! A camera that does exactly what a [`Case`] says: RTSP, session description, RTP and RTCP under control, where
//! [`crate::camera`] is a well-behaved server.
//!
//! | module | contents |
//! | --- | --- |
//! | [`case`] | the description of a camera |
//! | [`media`] | its video, encoded once by FFmpeg |
//! | [`session`], [`sender`] | its answers and its packets, without IO |
//! | [`annex_b`], [`rtp`] | NAL units and packets |

pub mod annex_b;
pub mod case;
pub mod media;
pub mod rtp;
pub mod sender;
pub mod session;

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use case::Case;
use sender::{Packet, Sender};
use session::{Request, Session, Then, Transport};

/// Cameras behind one port, one per path. They end with this.
#[derive(Debug)]
pub struct ScriptedCamera {
    port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
    task: AbortHandle,
}

impl ScriptedCamera {
    /// Starts these cameras.
    pub async fn start(cases: Vec<Case>) -> Self {
        // Encoding takes time that would be missing while a relay waits.
        cases.iter().for_each(|case| _ = case.media.access_units());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let requests = Arc::default();
        let task = tokio::spawn(accept(listener, cases.into(), Arc::clone(&requests))).abort_handle();
        Self { port, requests, task }
    }

    /// The address of a camera. `login` is empty or ends with `@`.
    pub fn url(&self, name: &str, login: &str) -> String {
        format!("rtsp://{login}127.0.0.1:{}/{name}", self.port)
    }

    /// How often a camera was sent a method.
    pub fn count(&self, name: &str, method: &str) -> usize {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.iter().filter(|request| request.path() == name && request.method == method).count()
    }
}

impl Drop for ScriptedCamera {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, cases: Arc<[Case]>, requests: Arc<Mutex<Vec<Request>>>) {
    // Aborts its tasks when it is dropped.
    let mut connections = JoinSet::new();
    loop {
        let (connection, _) = listener.accept().await.expect("it listens");
        connections.spawn(serve(connection, cases.clone(), requests.clone()));
        while connections.try_join_next().is_some() {}
    }
}

/// Serves one connection until it ends.
async fn serve(connection: TcpStream, cases: Arc<[Case]>, requests: Arc<Mutex<Vec<Request>>>) -> Option<()> {
    let (reader, mut writer) = connection.into_split();
    let (sender, mut requests_in) = mpsc::channel(16);
    // In a task of its own: a read that is cancelled in the middle of a request would lose its beginning.
    let mut reading = JoinSet::new();
    reading.spawn(read_requests(BufReader::new(reader), sender));
    let first = requests_in.recv().await?;
    let Some(case) = cases.iter().find(|case| case.name == first.path()) else {
        let not_found = format!("RTSP/1.0 404 Not Found\r\nCSeq: {}\r\n\r\n", first.header("cseq"));
        return writer.write_all(not_found.as_bytes()).await.ok();
    };
    let (mut session, mut sender, mut request) = (Session::new(case), None, Some(first));
    let udp = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let mut start = Instant::now();
    loop {
        if let Some(request) = request.take() {
            requests.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
            let (answer, then) = session.answer(&request);
            writer.write_all(&answer).await.ok()?;
            match then {
                Then::Continue => {}
                Then::Play => (sender, start) = (Some(Sender::new(case)), Instant::now()),
                Then::Close => return None,
            }
        }
        let due = sender.as_ref().and_then(Sender::due).map(|due| start + due);
        tokio::select! {
            biased;
            () = sleep_until(due.unwrap_or(start)), if due.is_some() => {
                for packet in sender.iter_mut().flat_map(Sender::send) {
                    send(&packet, &session, &mut writer, &udp).await?;
                }
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
