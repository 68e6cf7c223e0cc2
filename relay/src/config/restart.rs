//! Which keys of a changed configuration take effect at a restart only.

use std::path::Path;

use super::{Config, KeySource, Oidc, Tls};

impl Config {
    /// The keys that have other values in `new` and that a running relay does not take over, as in the documentation.
    pub fn restart_keys(&self, new: &Self) -> Vec<&'static str> {
        // Names every field, so that a new one has to be placed here.
        let Self {
            listen,
            tls,
            allowed_origins,
            allowed_hosts,
            oidc,
            access_log,
            metrics_listen,
            ffmpeg,
            encoding,
            low,
            low_kbps,
            linger,
            silence,
            ring_bytes,
            webrtc,
            cluster,
            // A reload changes these.
            password: _,
            token_key: _,
            revoked: _,
            open: _,
            limits: _,
            streams: _,
        } = self;
        let (tls, new_tls) = (tls.as_ref(), new.tls.as_ref());
        let changed = [
            ("listen", *listen != new.listen),
            ("tls.certificate or tls.key", certificate(tls) != certificate(new_tls)),
            ("tls.hsts_seconds", hsts_seconds(tls) != hsts_seconds(new_tls)),
            ("allowed_origins", *allowed_origins != new.allowed_origins),
            ("allowed_hosts", *allowed_hosts != new.allowed_hosts),
            ("[oidc]", provider(oidc.as_ref()) != provider(new.oidc.as_ref())),
            ("access_log", *access_log != new.access_log),
            ("metrics.listen", *metrics_listen != new.metrics_listen),
            ("ffmpeg", *ffmpeg != new.ffmpeg),
            ("ingest.encoder", encoding.encoder != new.encoding.encoder),
            ("ingest.vaapi_device", encoding.vaapi_device != new.encoding.vaapi_device),
            ("ingest.low", *low != new.low),
            ("ingest.low_kbps", *low_kbps != new.low_kbps),
            ("ingest.linger_seconds", *linger != new.linger),
            ("ingest.silence_seconds", *silence != new.silence),
            ("ingest.ring_mib", *ring_bytes != new.ring_bytes),
            ("[cluster]", *cluster != new.cluster),
            ("webrtc.enabled", webrtc.enabled != new.webrtc.enabled),
            ("webrtc.listen", webrtc.listen != new.webrtc.listen),
            ("webrtc.udp", webrtc.udp != new.webrtc.udp),
            ("webrtc.tcp", webrtc.tcp != new.webrtc.tcp),
            ("webrtc.candidates", webrtc.candidates != new.webrtc.candidates),
            ("webrtc.ice_servers", webrtc.ice_servers != new.webrtc.ice_servers),
        ];
        changed.into_iter().filter(|(_, is_changed)| *is_changed).map(|(key, _)| key).collect()
    }
}

/// The provider without its rules, which a reload changes.
fn provider(oidc: Option<&Oidc>) -> Option<(&str, &str, &KeySource)> {
    oidc.map(|Oidc { issuer, audience, keys, allow: _ }| (issuer.as_str(), audience.as_str(), keys))
}

fn certificate(tls: Option<&Tls>) -> Option<(&Path, &Path)> {
    tls.map(|tls| (tls.certificate.as_path(), tls.key.as_path()))
}

fn hsts_seconds(tls: Option<&Tls>) -> Option<u64> {
    tls.and_then(|tls| tls.hsts_seconds)
}

#[cfg(test)]
mod tests {
    use super::super::File;
    use super::*;

    fn config(text: &str) -> Config {
        let file = File::parse(&format!("{text}\n[streams.a]\nsource = \"x\"")).map_err(|(_, message)| message);
        file.and_then(File::resolve).unwrap_or_else(|message| panic!("{message} in\n{text}"))
    }

    #[test]
    fn reload_takes_over_streams_limits_and_credentials() {
        let before = config("");
        let after =
            config("[limits]\nviewers = 1\n[access]\nopen = true\nrevoked = [\"x\"]\n[streams.b]\nsource = \"y\"");
        assert_eq!(before.restart_keys(&after), Vec::<&str>::new());
        let oidc = "[oidc]\nissuer = \"i\"\naudience = \"a\"\nkeys = \"k\"\n";
        let rule = "[[oidc.allow]]\nclaim = \"groups\"\nvalue = \"crew\"\nstreams = [\"a\"]\n";
        let (before, after) = (config(oidc), config(&format!("{oidc}{rule}")));
        assert_eq!(before.restart_keys(&after), Vec::<&str>::new());
    }

    #[test]
    fn changed_keys_that_need_a_restart_are_named() {
        let before = config("");
        for (text, keys) in [
            ("listen = \":80\"", &["listen"][..]),
            (
                "[tls]\ncertificate = \"c\"\nkey = \"k\"\nhsts_seconds = 1",
                &["tls.certificate or tls.key", "tls.hsts_seconds"],
            ),
            ("allowed_origins = [\"*\"]\nallowed_hosts = [\"a.example\"]", &["allowed_origins", "allowed_hosts"]),
            ("[oidc]\nissuer = \"i\"\naudience = \"a\"\nkeys = \"k\"", &["[oidc]"]),
            ("access_log = true\nffmpeg = \"f\"", &["access_log", "ffmpeg"]),
            ("[metrics]\nlisten = \":1\"", &["metrics.listen"]),
            ("[ingest]\nencoder = \"vaapi\"\nvaapi_device = \"d\"", &["ingest.encoder", "ingest.vaapi_device"]),
            ("[ingest]\nlow = false\nlow_kbps = 100", &["ingest.low", "ingest.low_kbps"]),
            (
                "[ingest]\nring_mib = 1\nlinger_seconds = 1\nsilence_seconds = 1",
                &["ingest.linger_seconds", "ingest.silence_seconds", "ingest.ring_mib"],
            ),
            (
                "[webrtc]\nenabled = false\nlisten = \":1\"\nudp = false",
                &["webrtc.enabled", "webrtc.listen", "webrtc.udp"],
            ),
            ("[webrtc]\ntcp = false\ncandidates = [\"192.0.2.1\"]", &["webrtc.tcp", "webrtc.candidates"]),
            ("[cluster]\nservers = [\"nats://127.0.0.1\"]\nname = \"a\"", &["[cluster]"]),
            ("[[webrtc.ice_servers]]\nurl = \"stun:a\"", &["webrtc.ice_servers"]),
        ] {
            let after = config(text);
            assert_eq!(before.restart_keys(&after), keys, "{text}");
            assert_eq!(after.restart_keys(&after), Vec::<&str>::new());
        }
    }
}
