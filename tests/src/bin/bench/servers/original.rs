//! The design that preceded Sightline, as the baseline: one FFmpeg per viewer, half-second fragments over a WebSocket, and a
//! page that appends every message and plays from the first one. It runs as a separate process, so that its CPU time is
//! separate from the bench's.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use futures_util::SinkExt;
use sightline_tests::camera::Camera;
use sightline_tests::process::Owned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;

use super::{Name, PlayerPage, RunningServer};

/// The bench's argument that starts it. The next argument is the camera's address, to which the stream's name is appended.
pub(crate) const COMMAND: &str = "original";

const PAGE: &str = include_str!("original.html");
const START: Duration = Duration::from_secs(5);
/// The size of a read of FFmpeg's output, and of a message.
const READ: usize = 256 * 1024;

pub(super) async fn start(camera: &Camera) -> RunningServer {
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new(program);
    command.args([COMMAND, &camera.url("")]);
    let process = Owned::start("original", &mut command).expect("this program starts");
    let port: u16 = process.stdout.wait_for("the baseline's port", START, |line| line.trim().parse().ok()).await;
    let server = SocketAddr::from(([127, 0, 0, 1], port));
    RunningServer {
        name: Name::Original,
        version: "500 ms fragments".to_owned(),
        pages: vec![PlayerPage { name: "MSE", server, page: "/?CAM" }],
        pid: process.pid(),
        _running: Box::new(process),
    }
}

/// Prints its port and serves until it is killed.
pub(crate) async fn serve(camera: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    println!("{}", listener.local_addr().expect("an address").port());
    loop {
        let (connection, _) = listener.accept().await.expect("a connection");
        let camera = camera.to_owned();
        tokio::spawn(async move {
            let mut start = [0; 512];
            let length = connection.peek(&mut start).await.unwrap_or_default();
            // The request line is enough: its path identifies a WebSocket request.
            match String::from_utf8_lossy(&start[..length])
                .strip_prefix("GET /ws/")
                .and_then(|rest| rest.split(' ').next())
            {
                Some(stream) => view(connection, &format!("{camera}{stream}")).await,
                None => drop(answer(connection).await),
            }
        });
    }
}

async fn answer(mut connection: TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(connection.read_u8().await?);
    }
    let length = PAGE.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{PAGE}"
    );
    connection.write_all(answer.as_bytes()).await?;
    connection.shutdown().await
}

/// Serves one viewer until it leaves or its FFmpeg ends.
async fn view(connection: TcpStream, source: &str) {
    let Ok(mut socket) = tokio_tungstenite::accept_async(connection).await else { return };
    // For H.265 in MP4, browsers require the sample entry `hvc1`.
    let tag: &[&str] = if source.ends_with("h265") { &["-tag:v", "hvc1"] } else { &[] };
    let ffmpeg = tokio::process::Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-rtsp_transport", "tcp", "-i", source, "-an", "-c", "copy"])
        .args(tag)
        .args(["-f", "mp4", "-movflags", "empty_moov+default_base_moof+frag_keyframe", "-frag_duration", "500000"])
        .arg("pipe:1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut ffmpeg = ffmpeg.expect("ffmpeg is installed");
    let mut output = ffmpeg.stdout.take().expect("its output is piped");
    let mut buffer = vec![0; READ];
    while let Ok(length @ 1..) = output.read(&mut buffer).await {
        if socket.send(Message::binary(buffer[..length].to_vec())).await.is_err() {
            return;
        }
    }
}
