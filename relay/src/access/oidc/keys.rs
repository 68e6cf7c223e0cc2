//! The provider's public keys as a JSON Web Key Set (RFC 7517, section 5), and the selection of a token's key.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header};
use serde::Deserialize;

/// The algorithms of an RSA key without `alg`.
const RSA: &[Algorithm] =
    &[Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];

/// A public key that verifies signatures.
#[derive(Clone)]
pub(super) struct Key {
    /// `kid`.
    pub(super) id: Option<String>,
    /// The algorithms that the key accepts. The token's own `alg` is not sufficient (RFC 8725, section 3.1).
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) decoding: DecodingKey,
}

/// The key set as JSON.
#[derive(Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

/// The keys of a set, without keys for other uses or of unknown types. `None` if `json` is not a key set.
pub(super) fn parse(json: &[u8]) -> Option<Vec<Key>> {
    let set: Set = serde_json::from_slice(json).ok()?;
    Some(set.keys.into_iter().filter_map(|key| Key::new(&serde_json::from_value(key).ok()?)).collect())
}

impl Key {
    fn new(jwk: &Jwk) -> Option<Self> {
        let common = &jwk.common;
        let signs = common.public_key_use.as_ref().is_none_or(|is_for| *is_for == PublicKeyUse::Signature);
        let verifies = common.key_operations.as_ref().is_none_or(|are| are.contains(&KeyOperations::Verify));
        let able = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => RSA,
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => &[Algorithm::ES256],
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => &[Algorithm::ES384],
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => &[Algorithm::EdDSA],
            // A published symmetric key is no secret.
            _ => &[][..],
        };
        let named = |&&able: &&Algorithm| common.key_algorithm.is_none_or(|named| named == KeyAlgorithm::from(able));
        let algorithms: Vec<_> = able.iter().filter(named).copied().collect();
        let usable = signs && verifies && !algorithms.is_empty();
        let decoding = usable.then(|| DecodingKey::from_jwk(jwk).ok())??;
        Some(Self { id: common.key_id.clone(), algorithms, decoding })
    }
}

/// The key that the token's header names. A header without `kid` is accepted only for a set with one key (OpenID Connect Core
/// 1.0, section 10.1).
pub(super) fn find<'a>(keys: &'a [Key], header: &Header) -> Option<&'a Key> {
    match (&header.kid, keys) {
        (Some(_), keys) => keys.iter().find(|key| key.id == header.kid),
        (None, [key]) => Some(key),
        (None, _) => None,
    }
}

/// Whether the provider may have a key for this token that is missing in `keys`.
pub(super) fn may_be_new(keys: &[Key], header: &Header) -> bool {
    match &header.kid {
        Some(_) => keys.iter().all(|key| key.id != header.kid),
        None => keys.is_empty(),
    }
}
