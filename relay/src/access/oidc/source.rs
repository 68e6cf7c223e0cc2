//! Loads the provider's keys from a file or over HTTPS. HTTPS trusts the system's current root certificates.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::http::header::{ACCEPT, HOST, USER_AGENT};
use axum::http::{Request, StatusCode, Uri};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, rustls};

use super::keys::{self, Key};
use crate::config::KeySource;

/// Time limit of a fetch, from name resolution to the last byte.
pub(super) const LIMIT: Duration = Duration::from_secs(10);
/// Maximum size of the response in bytes. A set with certificates has about ten thousand.
const SIZE: usize = 256 * 1024;

/// Why the keys cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The relay cannot read the file.
    #[error("cannot read oidc.keys {0:?}: {1}")]
    Read(PathBuf, io::Error),
    /// The fetch failed.
    #[error("cannot fetch oidc.keys from {0}: {1}")]
    Fetch(Uri, io::Error),
    /// The content is not a key set.
    #[error("oidc.keys {0} is no JSON Web Key Set, which begins with {{\"keys\": [")]
    NoSet(String),
    /// The set has no usable key.
    #[error(
        "oidc.keys {0} has no public key that verifies signatures: RSA, EC with P-256 or P-384, or OKP with Ed25519, and not \
         for encryption"
    )]
    NoKey(String),
}

/// The current keys; at least one.
pub(super) async fn load(source: &KeySource) -> Result<Vec<Key>, KeysError> {
    let (name, json) = match source {
        KeySource::File(path) => {
            let (read, error) = (path.clone(), |error| KeysError::Read(path.clone(), error));
            // Blocking: the file may be on a disk that does not answer.
            let read = spawn_blocking(|| std::fs::read(read)).await.map_err(io::Error::other).map_err(error)?;
            (format!("{path:?}"), Bytes::from(read.map_err(error)?))
        }
        KeySource::Url(address) => {
            let late = || io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", LIMIT.as_secs()));
            let answer = timeout(LIMIT, fetch(address)).await.unwrap_or_else(|_| Err(late()));
            (address.to_string(), answer.map_err(|error| KeysError::Fetch(address.clone(), error))?)
        }
    };
    match keys::parse(&json) {
        None => Err(KeysError::NoSet(name)),
        Some(keys) if keys.is_empty() => Err(KeysError::NoKey(name)),
        Some(keys) => Ok(keys),
    }
}

async fn fetch(address: &Uri) -> io::Result<Bytes> {
    let encrypted = address.scheme_str() == Some("https");
    let host = address.host().unwrap_or_default().trim_matches(['[', ']']);
    let port = address.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
    let stream = TcpStream::connect((host, port)).await?;
    if !encrypted {
        return get(stream, address).await;
    }
    let settings = spawn_blocking(settings).await.map_err(io::Error::other)??;
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    get(TlsConnector::from(settings).connect(name, stream).await?, address).await
}

/// The TLS configuration with the system's root certificates.
fn settings() -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 {
        return Err(io::Error::other("this machine trusts no certificates; install the package ca-certificates"));
    }
    let client = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let client = client.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    Ok(Arc::new(client.with_root_certificates(roots).with_no_client_auth()))
}

/// Sends one request on a connection of its own.
async fn get(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, address: &Uri) -> io::Result<Bytes> {
    let path = address.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(HOST, address.authority().map_or("", |authority| authority.as_str()))
        .header(USER_AGENT, concat!("sightline/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "application/json")
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // The connection task ends with the response, or is aborted with this future.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let answer = sender.send_request(request).await.map_err(io::Error::other)?;
    if answer.status() != StatusCode::OK {
        let hint = if answer.status().is_redirection() { ", which the relay does not follow" } else { "" };
        return Err(io::Error::other(format!("the answer is {}{hint}", answer.status())));
    }
    Ok(Limited::new(answer.into_body(), SIZE).collect().await.map_err(io::Error::other)?.to_bytes())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// Loads from a local server that sends `answer` to any request. Returns the result and the request.
    async fn from(answer: impl AsRef<[u8]>) -> (Result<usize, String>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/keys?v=1", listener.local_addr().unwrap());
        let source = KeySource::Url(address.parse().unwrap());
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 4096];
            let length = stream.read(&mut asked).await.unwrap();
            // The client closes the connection once it has read enough.
            let _ = stream.write_all(answer.as_ref()).await;
            String::from_utf8_lossy(&asked[..length]).into_owned()
        };
        let (loaded, asked) = tokio::join!(load(&source), serve);
        (loaded.map(|keys| keys.len()).map_err(|error| error.to_string()), asked)
    }

    fn ok(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    #[tokio::test]
    async fn a_set_is_fetched() {
        let set =
            r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
        let (loaded, asked) = from(ok(set)).await;
        assert_eq!(loaded, Ok(1));
        assert!(asked.starts_with("GET /keys?v=1 HTTP/1.1\r\nhost: 127.0.0.1:"), "{asked}");
    }

    #[tokio::test]
    async fn what_is_no_set_is_told_with_its_address_and_what_it_is() {
        let long = ok(&" ".repeat(SIZE + 1));
        for (answer, named) in [
            (ok("<html>"), "no JSON Web Key Set"),
            (ok("{\"keys\":[]}"), "no public key that verifies"),
            ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(), "the answer is 404 Not Found"),
            (
                "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n".to_owned(),
                "302 Found, which the relay does",
            ),
            ("SSH-2.0-OpenSSH\r\n".to_owned(), "invalid HTTP"),
            (long, "length limit exceeded"),
        ] {
            let error = from(&answer).await.0.unwrap_err();
            assert!(error.contains(named) && error.contains("http://127.0.0.1:"), "{error}");
        }
        let error = load(&KeySource::File("/none/keys.json".into())).await.err().unwrap().to_string();
        assert!(error.contains("oidc.keys \"/none/keys.json\": No such file"), "{error}");
    }
}
