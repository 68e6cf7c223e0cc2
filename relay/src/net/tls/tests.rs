use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};

use super::*;

fn files() -> Tls {
    Tls { certificate: "/etc/cert.pem".into(), key: "/etc/key.pem".into(), hsts_seconds: None }
}

/// A certificate and its key, in PEM and in DER.
fn made() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed(["cams.example.org".to_owned()]).unwrap()
}

fn pair(made: &CertifiedKey<KeyPair>) -> CertificatePair {
    CertificatePair { certificate: made.cert.pem().into(), key: made.signing_key.serialize_pem().into() }
}

fn refused(certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> String {
    let pair = CertificatePair { certificate: certificate.into(), key: key.into() };
    pair.settings(&files()).unwrap_err().to_string()
}

#[test]
fn valid_certificate_offers_both_versions_of_http() {
    let made = made();
    let settings = pair(&made).settings(&files()).unwrap();
    assert_eq!(settings.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    assert_eq!(without_http2(&settings).alpn_protocols, [b"http/1.1"]);
    // Key and certificate in one file, with a comment and CRLF, as some tools write them.
    let both = format!("# ours\r\n{}\n{}", made.signing_key.serialize_pem(), made.cert.pem());
    let pair = CertificatePair { certificate: both.clone().into(), key: both.into() };
    assert!(pair.settings(&files()).is_ok());
}

#[test]
fn invalid_file_error_has_path_and_remedy() {
    let (ours, other) = (made(), made());
    let (cert, key) = (ours.cert.pem(), ours.signing_key.serialize_pem());
    let is = |error: &str, words: &[&str]| assert!(words.iter().all(|word| error.contains(word)), "{error}");
    is(&refused(cert.clone(), other.signing_key.serialize_pem()), &["key.pem", "is not the key of", "cert.pem"]);
    is(&refused(ours.cert.der().to_vec(), key.clone()), &["cert.pem", "no certificate in PEM", "openssl x509"]);
    is(&refused(key.clone(), key.clone()), &["cert.pem", "no certificate in PEM"]);
    is(&refused(cert.clone(), ours.signing_key.serialize_der()), &["key.pem", "no private key in PEM", "openssl pkey"]);
    is(&refused(cert.clone(), cert.clone()), &["key.pem", "no private key in PEM"]);
    is(&refused("", key.clone()), &["cert.pem", "no certificate in PEM"]);
    // A partly written file.
    is(&refused(&cert.as_bytes()[..cert.len() / 2], key.clone()), &["cert.pem", "no certificate in PEM"]);
    let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    is(&refused(nonsense, key.clone()), &["cert.pem", "cannot be used"]);
    for encrypted in [
        key.replace("BEGIN PRIVATE", "BEGIN ENCRYPTED PRIVATE").replace("END PRIVATE", "END ENCRYPTED PRIVATE"),
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n".to_owned(),
    ] {
        is(&refused(cert.clone(), encrypted), &["key.pem", "is encrypted", "openssl pkey"]);
    }
    let missing = Tls { certificate: "/nowhere/cert.pem".into(), key: "/nowhere/key.pem".into(), hsts_seconds: None };
    is(&Certificate::load(&missing).unwrap_err().to_string(), &["tls.certificate", "/nowhere/cert.pem"]);
}

#[test]
fn renewed_certificate_is_used_and_invalid_one_is_ignored() {
    let (old, new) = (made(), made());
    let folder = std::env::temp_dir().join(format!("sightline-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let files = Tls { certificate: folder.join("cert.pem"), key: folder.join("key.pem"), hsts_seconds: None };
    std::fs::write(&files.certificate, old.cert.pem()).unwrap();
    std::fs::write(&files.key, old.signing_key.serialize_pem()).unwrap();
    let mut certificate = Certificate::load(&files).unwrap();
    let current = certificate.current();
    let first = current.borrow().clone();
    let kept = |first: &Arc<ServerConfig>| Arc::ptr_eq(first, &current.borrow());

    certificate.take(CertificatePair::read(&files));
    assert!(kept(&first), "nothing has changed");
    std::fs::write(&files.certificate, new.cert.pem()).unwrap();
    certificate.take(CertificatePair::read(&files));
    assert!(kept(&first), "the key is still the old one");
    std::fs::remove_file(&files.key).unwrap();
    certificate.take(CertificatePair::read(&files));
    assert!(kept(&first), "there is no key");
    std::fs::write(&files.key, new.signing_key.serialize_pem()).unwrap();
    certificate.take(CertificatePair::read(&files));
    assert!(!kept(&first), "both are new");
    let second = current.borrow().clone();
    certificate.take(CertificatePair::read(&files));
    assert!(kept(&second), "it is made anew only where something has changed");
    std::fs::remove_dir_all(&folder).unwrap();
}
