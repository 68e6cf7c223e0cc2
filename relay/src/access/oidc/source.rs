//! Loads the provider's keys from a file or over HTTPS. HTTPS trusts the system's current root certificates.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::header::{ACCEPT, USER_AGENT};
use axum::http::{Request, StatusCode, Uri};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::TokioExecutor;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;

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
    if address.scheme_str() == Some("https") {
        let connector = spawn_blocking(https_connector).await.map_err(io::Error::other)??;
        get(connector, address).await
    } else {
        get(HttpConnector::new(), address).await
    }
}

/// Trusts the system's root certificates.
fn https_connector() -> io::Result<HttpsConnector<HttpConnector>> {
    let trusting = HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(default_provider())
        .map_err(|_| io::Error::other("this machine trusts no certificates; install the package ca-certificates"))?;
    Ok(trusting.https_only().enable_http1().build())
}

async fn get(connector: impl Connect + Clone + Send + Sync + 'static, address: &Uri) -> io::Result<Bytes> {
    let request = Request::get(address)
        .header(USER_AGENT, concat!("sightline/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "application/json")
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let answer = client.request(request).await.map_err(|error| io::Error::other(innermost(&error)))?;
    if answer.status() != StatusCode::OK {
        let hint = if answer.status().is_redirection() { ", which the relay does not follow" } else { "" };
        return Err(io::Error::other(format!("the answer is {}{hint}", answer.status())));
    }
    Ok(Limited::new(answer.into_body(), SIZE).collect().await.map_err(io::Error::other)?.to_bytes())
}

/// The cause of an error: the client's own errors only say in which step it failed.
fn innermost(error: &(dyn Error + 'static)) -> String {
    error.source().map_or_else(|| error.to_string(), innermost)
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
        assert!(asked.starts_with("GET /keys?v=1 HTTP/1.1\r\n") && asked.contains("\r\nhost: 127.0.0.1:"), "{asked}");
    }

    #[tokio::test(start_paused = true)]
    async fn provider_that_does_not_answer_is_given_up_after_ten_seconds() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/keys", listener.local_addr().unwrap());
        let begun = tokio::time::Instant::now();
        let error = load(&KeySource::Url(address.parse().unwrap())).await.err().unwrap().to_string();
        assert!(
            error.contains("no answer within 10 s") && begun.elapsed() <= LIMIT + Duration::from_secs(1),
            "{error}"
        );
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
