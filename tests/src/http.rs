//! Minimal HTTP for tests: requests with undecoded responses, and a server for a page and a video.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Bytes;
use tokio_tungstenite::tungstenite::http::Request;

use crate::run::Wait;

/// The time limit for one answer: longer than any delay of the relay, shorter than a test's limit, which names no request.
pub const ANSWER: Duration = Duration::from_secs(20);

/// A server's response.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header fields, names in lower case.
    pub headers: HashMap<String, String>,
    /// The body, undecoded.
    pub body: Vec<u8>,
}

impl Response {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header field, or an empty string.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// GETs `path` on a new connection.
///
/// # Errors
/// When the connection fails or the response is not HTTP.
pub async fn get(server: SocketAddr, path: &str) -> io::Result<Response> {
    get_accepting(server, path, "identity").await
}

/// GETs `path` in one of these content codings (RFC 9110, section 8.4). The body is not decoded.
///
/// # Errors
/// When the connection fails or the response is not HTTP.
pub async fn get_accepting(server: SocketAddr, path: &str, codings: &str) -> io::Result<Response> {
    send(server, "GET", path, &[("Accept-Encoding", codings)], Vec::new()).await
}

/// GETs `path` with these header fields.
///
/// # Errors
/// When the connection fails or the response is not HTTP.
pub async fn get_with(server: SocketAddr, path: &str, headers: &[(&str, &str)]) -> io::Result<Response> {
    send(server, "GET", path, headers, Vec::new()).await
}

/// Sends any request on a new connection.
///
/// # Errors
/// When the connection fails, the response is not HTTP, or it is not complete within [`ANSWER`].
pub async fn send(
    server: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> io::Result<Response> {
    let request = Request::builder().method(method).uri(format!("http://{server}{path}"));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let request = request.body(Full::<Bytes>::from(body)).map_err(io::Error::other)?;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let _wait = Wait::begin(format!("{method} {path}"));
    let answer = async {
        let (head, body) = client.request(request).await.map_err(io::Error::other)?.into_parts();
        Ok::<_, io::Error>((head, body.collect().await.map_err(io::Error::other)?.to_bytes().to_vec()))
    };
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("no answer to {method} {path} within {ANSWER:?}"));
    let (head, body) = tokio::time::timeout(ANSWER, answer).await.map_err(late)??;
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect();
    Ok(Response { status: head.status.as_u16(), headers, body })
}

/// A server of files in memory, stopped on drop.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

/// A file: its MIME type and its bytes.
pub type File = (&'static str, Vec<u8>);

impl Server {
    /// Serves `files` by path (`/page.html`, with any query) on a free port of 127.0.0.1.
    pub async fn start(files: HashMap<&'static str, File>) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), files).await
    }

    /// Serves `files` at this address. Port 0 selects a free one.
    ///
    /// # Panics
    /// When the port is taken.
    pub async fn start_at(address: SocketAddr, files: HashMap<&'static str, File>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap_or_else(|e| panic!("{address}: {e}"));
        let address = listener.local_addr().expect("it is bound");
        let files = Arc::new(files);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A browser may disconnect during a response, which does not fail the test.
                let files = files.clone();
                tokio::spawn(async move { drop(answer(stream, &files).await) });
            }
        });
        Self { address, task }
    }

    /// The URL of a file.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers one request. Media elements request ranges and may refuse to play without them (RFC 9110, section 14).
async fn answer(mut stream: TcpStream, files: &HashMap<&'static str, File>) -> io::Result<()> {
    let mut head = Vec::new();
    let mut lines = BufReader::new(&mut stream).lines();
    while let Some(line) = lines.next_line().await?.filter(|line| !line.is_empty()) {
        head.push(line);
    }
    let path = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default();
    let Some((mime, bytes)) = files.get(path) else {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
    };
    let range = head.iter().find_map(|line| line.to_lowercase().strip_prefix("range: bytes=").and_then(parse_range));
    let total = bytes.len();
    let (status, range) = match range {
        Some((first, last)) => {
            let range = first.min(total)..last.map_or(total, |last| (last + 1).min(total));
            let shown = format!("{first}-{}/{total}", range.end.saturating_sub(1));
            (format!("206 Partial Content\r\nContent-Range: bytes {shown}"), range)
        }
        None => ("200 OK".to_owned(), 0..total),
    };
    let length = range.len();
    let header = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {mime}\r\nContent-Length: {length}\r\n\
         Accept-Ranges: bytes\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(header.as_bytes()).await?;
    stream.write_all(bytes.get(range).unwrap_or_default()).await?;
    stream.shutdown().await
}

/// A proxy that injects a test's script into a server's pages, before their own scripts. Stopped on drop.
#[derive(Debug)]
pub struct Injector {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Injector {
    /// Forwards every connection to `server`. Pages get `script` at the start of their heads and lose the server's
    /// Content-Security-Policy.
    pub async fn start(server: SocketAddr, script: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A browser may disconnect during a response, which does not fail the test.
                tokio::spawn(async move { drop(forward(stream, server, script).await) });
            }
        });
        Self { address, task }
    }

    /// The URL of a page. `path` starts with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Injector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(browser: TcpStream, server: SocketAddr, script: &str) -> io::Result<()> {
    let mut browser = BufReader::new(browser);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if browser.read_until(b'\n', &mut head).await? == 0 {
            return Ok(());
        }
    }
    let request = String::from_utf8_lossy(&head).into_owned();
    let has = |name: &str, value: &str| {
        let header = |line: &str| line.split_once(": ").is_some_and(|(n, v)| is_like(n, name) && is_like(v, value));
        request.lines().any(header)
    };
    // A page is a GET request that accepts `text/html`, as navigations do and scripts and elements do not.
    if !(request.starts_with("GET ") && has("accept", "text/html")) {
        let mut upstream = TcpStream::connect(server).await?;
        let websocket = has("upgrade", "websocket");
        // One request per connection: the next might be for the page.
        upstream.write_all(if websocket { &head } else { &head[..head.len() - 2] }).await?;
        if !websocket {
            upstream.write_all(b"Connection: close\r\n\r\n").await?;
        }
        return tokio::io::copy_bidirectional(&mut browser, &mut upstream).await.map(drop);
    }
    let answer = get(server, request.split(' ').nth(1).unwrap_or("/")).await?;
    let page = answer.text().replacen("<head>", &format!("<head><script>{script}</script>"), 1);
    let header = format!(
        "HTTP/1.1 {} -\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        answer.status,
        answer.header("content-type"),
        page.len()
    );
    browser.write_all(header.as_bytes()).await?;
    browser.write_all(page.as_bytes()).await?;
    browser.shutdown().await
}

/// Whether a header's name or value starts with this, ignoring case.
fn is_like(text: &str, start: &str) -> bool {
    text.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start))
}

fn parse_range(range: &str) -> Option<(usize, Option<usize>)> {
    let (first, last) = range.trim().split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()))
}
