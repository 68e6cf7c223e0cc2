//! An identity provider that signs tokens and serves the keys that verify them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_RSA_SHA256};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::tls::Identity;

/// The `iss` of its tokens.
pub const ISSUER: &str = "https://team.example.org";
/// The `aud` of its tokens for the relay.
pub const AUDIENCE: &str = "4714c1358e65fe4b";
/// The size of the PKCS #8 header around an RSA key of 2048 bits (RFC 5208, section 5), in bytes.
const AROUND: usize = 26;

/// One of its keys (RS256, as Cloudflare's).
#[derive(Debug)]
pub struct Signer {
    id: &'static str,
    key: EncodingKey,
}

impl Signer {
    /// A new key with this `kid`.
    ///
    /// # Panics
    /// Only if the cryptography fails.
    pub fn new(id: &'static str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_RSA_SHA256).expect("a key");
        Self { id, key: EncodingKey::from_rsa_der(&pair.serialize_der()[AROUND..]) }
    }

    /// The public key.
    ///
    /// # Panics
    /// As [`Self::new`].
    pub fn jwk(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, Algorithm::RS256).expect("a public key");
        jwk.common.key_id = Some(self.id.to_owned());
        serde_json::to_value(jwk).expect("JSON")
    }

    /// A token that is valid for an hour.
    pub fn token(&self) -> String {
        self.sign(&claims())
    }

    /// A token with these claims.
    ///
    /// # Panics
    /// As [`Self::new`].
    pub fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.to_owned()), ..Header::new(Algorithm::RS256) };
        jsonwebtoken::encode(&header, claims, &self.key).expect("a token")
    }
}

/// The claims of a valid token.
pub fn claims() -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    json!({ "iss": ISSUER, "aud": [AUDIENCE], "iat": now, "nbf": now, "exp": now + 3600, "sub": "somebody" })
}

/// A JWK set of these keys.
pub fn key_set(signers: &[&Signer]) -> String {
    json!({ "keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>() }).to_string()
}

/// The part of a configuration with the provider and the address of its keys.
pub fn config(keys: &str) -> String {
    format!("[oidc]\nissuer = \"{ISSUER}\"\naudience = \"{AUDIENCE}\"\nkeys = \"{keys}\"\n")
}

/// A server of the provider's keys, stopped on drop.
#[derive(Debug)]
pub struct Provider {
    url: String,
    keys: Arc<Mutex<String>>,
    looks: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Provider {
    /// Serves the keys at this local address. Port 0 selects a free one. Uses HTTPS as `localhost` with a certificate, else
    /// HTTP.
    ///
    /// # Panics
    /// When the address is taken.
    pub async fn start(address: SocketAddr, identity: Option<&Identity>, signers: &[&Signer]) -> Self {
        let listener = TcpListener::bind(address).await.unwrap_or_else(|e| panic!("{address}: {e}"));
        let address = listener.local_addr().expect("it is bound");
        let url = match identity {
            Some(_) => format!("https://localhost:{}/certs", address.port()),
            None => format!("http://{address}/certs"),
        };
        let keys = Arc::new(Mutex::new(key_set(signers)));
        let looks = Arc::new(AtomicUsize::new(0));
        let (acceptor, published, counted) = (identity.map(Identity::acceptor), keys.clone(), looks.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                let body = published.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let acceptor = acceptor.clone();
                // A client that does not trust the certificate disconnects.
                tokio::spawn(async move {
                    match acceptor {
                        Some(acceptor) => answer(acceptor.accept(stream).await?, &body).await,
                        None => answer(stream, &body).await,
                    }
                });
            }
        });
        Self { url, keys, looks, task }
    }

    /// The URL of its keys.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Replaces its keys.
    pub fn publish(&self, signers: &[&Signer]) {
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = key_set(signers);
    }

    /// The number of connections.
    pub fn looks(&self) -> usize {
        self.looks.load(Ordering::Relaxed)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin, body: &str) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 2 {
        line.clear();
    }
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
    stream.write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).await?;
    stream.shutdown().await
}
