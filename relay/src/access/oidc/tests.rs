use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, RsaKeyPair,
};
use axum::http::HeaderValue;
use axum::http::header::COOKIE as COOKIES;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::*;

const NOW: u64 = 1_800_000_000;
const ISSUER: &str = "https://team.cloudflareaccess.com";
const AUDIENCE: &str = "32eafc7626e737a3";

/// A key pair of a test's identity provider.
pub(crate) struct Signer {
    algorithm: Algorithm,
    signing: EncodingKey,
    jwk: Value,
}

impl Signer {
    fn new(id: &str, algorithm: Algorithm, signing: EncodingKey) -> Self {
        let mut jwk = Jwk::from_encoding_key(&signing, algorithm).unwrap();
        jwk.common.key_id = Some(id.to_owned());
        Self { algorithm, signing, jwk: serde_json::to_value(jwk).unwrap() }
    }

    pub(crate) fn es256(id: &str) -> Self {
        Self::ec(id, Algorithm::ES256, &ECDSA_P256_SHA256_FIXED_SIGNING)
    }

    fn ec(id: &str, algorithm: Algorithm, how: &'static EcdsaSigningAlgorithm) -> Self {
        let der = EcdsaKeyPair::generate(how).unwrap().to_pkcs8v1().unwrap();
        Self::new(id, algorithm, EncodingKey::from_ec_der(der.as_ref()))
    }

    fn ed(id: &str) -> Self {
        let der = Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap();
        Self::new(id, Algorithm::EdDSA, EncodingKey::from_ed_der(der.as_ref()))
    }

    fn rsa(id: &str, algorithm: Algorithm) -> Self {
        let der = RsaKeyPair::generate(KeySize::Rsa2048).unwrap().as_der().unwrap();
        // Skips the PKCS #8 header (RFC 5208, section 5), which has the same length for all keys of this size.
        Self::new(id, algorithm, EncodingKey::from_rsa_der(&der.as_ref()[26..]))
    }

    pub(super) fn header(&self) -> Header {
        let id = self.jwk["kid"].as_str().map(str::to_owned);
        Header { kid: id, ..Header::new(self.algorithm) }
    }

    pub(super) fn key(&self) -> Key {
        key(&self.jwk)
    }

    /// The provider's key set (RFC 7517, section 5).
    pub(crate) fn key_set(&self) -> String {
        json!({ "keys": [self.jwk] }).to_string()
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        jsonwebtoken::encode(&self.header(), claims, &self.signing).unwrap()
    }
}

fn key(jwk: &Value) -> Key {
    keys::parse(json!({ "keys": [jwk] }).to_string().as_bytes()).unwrap().remove(0)
}

fn ours() -> Value {
    json!({ "iss": ISSUER, "aud": [AUDIENCE], "exp": NOW + 60, "nbf": NOW - 60, "email": "me@example.org" })
}

fn with(name: &str, value: impl Into<Value>) -> Value {
    let mut claims = ours();
    claims[name] = value.into();
    claims
}

fn rules() -> Rules {
    Rules { issuer: ISSUER.to_owned(), audience: AUDIENCE.to_owned() }
}

/// The verification result of `token` with the keys `known`.
fn verified(token: &str, known: &[Key]) -> Result<u64, Refusal> {
    let header = jsonwebtoken::decode_header(token).map_err(|_| Refusal::Unverified)?;
    rules().judge(token, keys::find(known, &header).ok_or(Refusal::Unverified)?, NOW).map(|token| token.until)
}

#[test]
fn what_the_provider_has_signed_for_us_is_good_whatever_it_signs_with() {
    let good = Ok(NOW + 60 + LEEWAY);
    for signer in [
        Signer::rsa("a", Algorithm::RS256),
        Signer::rsa("a", Algorithm::PS512),
        Signer::es256("a"),
        Signer::ec("a", Algorithm::ES384, &ECDSA_P384_SHA384_FIXED_SIGNING),
        Signer::ed("a"),
    ] {
        assert_eq!(verified(&signer.sign(&ours()), &[signer.key()]), good, "{:?}", signer.algorithm);
    }
    let signer = Signer::es256("a");
    // Other providers' forms: the audience as a string, a fractional time, no `nbf`.
    for claims in [
        with("aud", AUDIENCE),
        with("aud", json!(["b", AUDIENCE])),
        with("exp", 1_800_000_060.9),
        with("nbf", Value::Null),
    ] {
        assert_eq!(verified(&signer.sign(&claims), &[signer.key()]), good, "{claims}");
    }
}

#[test]
fn what_is_for_others_or_not_for_now_is_refused_with_its_reason() {
    let signer = Signer::es256("a");
    let without = |name: &str| {
        let mut claims = ours();
        claims.as_object_mut().unwrap().remove(name);
        claims
    };
    for (claims, why) in [
        (with("exp", NOW - LEEWAY), Refusal::SignedOut),
        (with("exp", 0), Refusal::SignedOut),
        (with("nbf", NOW + LEEWAY + 1), Refusal::Early),
        (with("aud", "b"), Refusal::NotForUs),
        (with("aud", json!([])), Refusal::NotForUs),
        (with("aud", json!({ "a": AUDIENCE })), Refusal::NotForUs),
        (with("iss", format!("{ISSUER}/")), Refusal::NotForUs),
        (without("aud"), Refusal::NotForUs),
        (without("iss"), Refusal::NotForUs),
        (without("exp"), Refusal::Unverified),
        (with("exp", "soon"), Refusal::Unverified),
        (with("nbf", "soon"), Refusal::Unverified),
    ] {
        assert_eq!(verified(&signer.sign(&claims), &[signer.key()]), Err(why), "{claims}");
    }
    // Clock differences up to the leeway are tolerated.
    for claims in [with("exp", NOW - LEEWAY + 1), with("nbf", NOW + LEEWAY)] {
        assert!(verified(&signer.sign(&claims), &[signer.key()]).is_ok(), "{claims}");
    }
}

#[test]
fn subject_may_be_a_number_or_absent() {
    let signer = Signer::es256("a");
    let subject = |value: Value| {
        let token = signer.sign(&with("sub", value));
        rules().judge(&token, &signer.key(), NOW).map(|identity| identity.subject.as_deref().map(str::to_owned))
    };
    assert_eq!(subject(json!("alice")), Ok(Some("alice".to_owned())));
    assert_eq!(subject(json!(1001)), Ok(Some("1001".to_owned())));
    for none in [json!(null), json!(1.5)] {
        assert_eq!(subject(none.clone()), Ok(None), "{none}");
    }
    for malformed in [json!({ "id": 1 }), json!(["a"])] {
        assert_eq!(subject(malformed.clone()), Err(Refusal::Unverified), "{malformed}");
    }
}

#[tokio::test]
async fn what_the_provider_has_not_signed_is_refused() {
    let signer = Signer::rsa("a", Algorithm::RS256);
    let token = signer.sign(&ours());
    let [head, claims, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("{token}") };
    let header = |header: Value| BASE64.encode(header.to_string());
    let unsigned = format!("{}.{claims}.", header(json!({ "alg": "none", "kid": "a" })));
    // RFC 8725, section 2.1: the public key used as an HMAC secret.
    let public = signer.jwk["n"].as_str().unwrap();
    let confused = [public.as_bytes().to_vec(), BASE64.decode(public).unwrap()].map(|secret| {
        let header = Header { kid: Some("a".to_owned()), ..Header::new(Algorithm::HS256) };
        jsonwebtoken::encode(&header, &ours(), &EncodingKey::from_secret(&secret)).unwrap()
    });
    let other = Signer::rsa("a", Algorithm::RS256).sign(&ours());
    let other_algorithm = {
        let header = Header { kid: Some("a".to_owned()), ..Header::new(Algorithm::RS384) };
        jsonwebtoken::encode(&header, &ours(), &signer.signing).unwrap()
    };
    let extended = {
        let header = Header { crit: Some(vec!["exp".to_owned()]), ..signer.header() };
        jsonwebtoken::encode(&header, &ours(), &signer.signing).unwrap()
    };
    let changed = format!("{head}.{}.{signature}", BASE64.encode(with("exp", NOW + 3600).to_string()));
    let cut = format!("{head}.{claims}.{}", &signature[4..]);
    let own_key = format!("{}.{claims}.{signature}", header(json!({ "alg": "RS256", "jwk": signer.jwk, "kid": "b" })));

    let folder = std::env::temp_dir().join(format!("sightline-keys-{}", std::process::id()));
    std::fs::write(&folder, signer.key_set()).unwrap();
    let keys = KeySource::File(folder.clone());
    let oidc = Oidc { issuer: ISSUER.into(), audience: AUDIENCE.into(), keys, allow: Vec::new() };
    let verifier = OidcVerifier::start(oidc, CancellationToken::new());
    let identity = verifier.verify(&token, NOW).await.unwrap();
    assert_eq!((identity.until, identity.subject), (NOW + 60 + LEEWAY, None));
    assert_eq!(Value::Object(identity.claims), ours());
    let [confused, decoded] = &confused;
    for token in
        ["", "..", "a.b.c", &unsigned, confused, decoded, &other, &other_algorithm, &extended, &changed, &cut, &own_key]
    {
        assert_eq!(verifier.verify(token, NOW).await, Err(Refusal::Unverified), "{token}");
    }
    std::fs::remove_file(folder).unwrap();
}

/// Signatures from RFC 7515, appendices A.2 and A.3. Their claims name no audience, which is checked only after a valid
/// signature.
#[test]
fn the_signatures_of_the_standard_are_right() {
    let claims = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let rsa = json!({ "kty": "RSA", "e": "AQAB", "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ" });
    let rs256 = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let ec = json!({ "kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" });
    let es256 = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    for (jwk, algorithm, signature) in [(rsa, "RS256", rs256), (ec, "ES256", es256)] {
        let head = BASE64.encode(format!("{{\"alg\":\"{algorithm}\"}}"));
        assert_eq!(
            verified(&format!("{head}.{claims}.{signature}"), &[key(&jwk)]),
            Err(Refusal::NotForUs),
            "{algorithm}"
        );
        let changed = claims.replacen('J', "K", 1);
        assert_eq!(verified(&format!("{head}.{changed}.{signature}"), &[key(&jwk)]), Err(Refusal::Unverified));
    }
}

#[test]
fn keys_of_a_set_that_are_no_use_are_passed_over() {
    let signer = Signer::es256("good");
    let with = |name: &str, value: Value| {
        let mut jwk = signer.jwk.clone();
        jwk[name] = value;
        jwk
    };
    let set = json!({ "keys": [
        { "kty": "oct", "kid": "secret", "k": "c2VjcmV0", "alg": "HS256" },
        { "kty": "AKP", "kid": "new", "alg": "ML-DSA-44", "pub": "AAAA" },
        { "kty": "EC", "kid": "half", "crv": "P-256", "x": "AAAA" },
        "nonsense",
        with("use", "enc".into()),
        with("key_ops", json!(["encrypt"])),
        with("alg", "RS256".into()),
        with("crv", "P-521".into()),
        signer.jwk,
    ], "public_cert": { "kid": "good", "cert": "" } });
    let keys = keys::parse(set.to_string().as_bytes()).unwrap();
    assert_eq!(keys.iter().map(|key| key.id.as_deref()).collect::<Vec<_>>(), [Some("good")]);
    assert_eq!(keys[0].algorithms, [Algorithm::ES256]);
    for nonsense in ["", "{}", "[]", "<html>", "{\"keys\": {}}"] {
        assert!(keys::parse(nonsense.as_bytes()).is_none(), "{nonsense}");
    }
    // A token without `kid` means the only key.
    let nameless = Header::new(Algorithm::ES256);
    assert!(keys::find(&keys, &nameless).is_some());
    let two = [keys[0].clone(), Signer::es256("other").key()];
    assert!(keys::find(&two, &nameless).is_none() && !keys::may_be_new(&two, &nameless));
    assert!(keys::find(&two, &signer.header()).is_some());
}

#[test]
fn a_proxy_or_a_browser_brings_the_token() {
    let headers = |pairs: &[(&'static str, &'static str)]| {
        pairs
            .iter()
            .map(|&(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect::<HeaderMap>()
    };
    assert_eq!(cloudflare_token(&headers(&[("Cf-Access-Jwt-Assertion", "a.b.c")])), Some("a.b.c"));
    assert_eq!(cloudflare_token(&headers(&[(COOKIES.as_str(), "x=1; CF_Authorization=a.b.c")])), Some("a.b.c"));
    assert_eq!(cloudflare_token(&headers(&[(COOKIES.as_str(), "CF_AppSession=x")])), None);
}
