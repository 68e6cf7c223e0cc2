//! An identity provider: who signs tokens, and where the keys are that verify them.

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

/// What its tokens have as `iss`.
pub const ISSUER: &str = "https://team.example.org";
/// What they have in `aud`, if they are for the relay.
pub const AUDIENCE: &str = "4714c1358e65fe4b";
/// What PKCS #8 has around an RSA key of 2048 bits (RFC 5208, section 5), in bytes.
const AROUND: usize = 26;

/// One of its keys (RS256, as Cloudflare's).
#[derive(Debug)]
pub struct Signer {
    id: &'static str,
    key: EncodingKey,
}

impl Signer {
    /// A new one with this `kid`.
    ///
    /// # Panics
    /// Never, but for faults of the cryptography.
    pub fn new(id: &'static str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_RSA_SHA256).expect("a key");
        Self { id, key: EncodingKey::from_rsa_der(&pair.serialize_der()[AROUND..]) }
    }

    /// Its public half.
    ///
    /// # Panics
    /// As [`Self::new`].
    pub fn jwk(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, Algorithm::RS256).expect("a public key");
        jwk.common.key_id = Some(self.id.to_owned());
        serde_json::to_value(jwk).expect("JSON")
    }

    /// A token that is good for an hour.
    pub fn token(&self) -> String {
        self.sign(&claims())
    }

    /// A token that says this.
    ///
    /// # Panics
    /// As [`Self::new`].
    pub fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.to_owned()), ..Header::new(Algorithm::RS256) };
        jsonwebtoken::encode(&header, claims, &self.key).expect("a token")
    }
}

/// What a good token says.
pub fn claims() -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    json!({ "iss": ISSUER, "aud": [AUDIENCE], "iat": now, "nbf": now, "exp": now + 3600, "sub": "somebody" })
}

/// Those keys, as a file or an answer has them.
pub fn key_set(signers: &[&Signer]) -> String {
    json!({ "keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>() }).to_string()
}

/// The part of a configuration that names it, and where its keys are.
pub fn config(keys: &str) -> String {
    format!("[oidc]\nissuer = \"{ISSUER}\"\naudience = \"{AUDIENCE}\"\nkeys = \"{keys}\"\n")
}

/// A server that has its keys. It ends with this.
#[derive(Debug)]
pub struct Provider {
    url: String,
    keys: Arc<Mutex<String>>,
    looks: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Provider {
    /// One by HTTP at this address of the machine's own, on a free port of it where that is 0; by HTTPS as `localhost`, where
    /// it has a certificate.
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
                // Whoever does not trust it goes away.
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

    /// Where its keys are.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Replaces its keys.
    pub fn publish(&self, signers: &[&Signer]) {
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = key_set(signers);
    }

    /// How often somebody came for them.
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
