//! The operator's own proxy: `http_proxy` and `no_proxy`, as FFmpeg reads them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use url::Url;

use super::request::normalized;

/// A proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Upstream {
    pub(super) host: String,
    pub(super) port: u16,
    /// The value of `Proxy-Authorization`.
    pub(super) authorization: Option<String>,
    /// `no_proxy`.
    except: String,
}

impl Upstream {
    pub(super) fn from_environment() -> Option<Self> {
        Self::new(&std::env::var("http_proxy").ok()?, std::env::var("no_proxy").unwrap_or_default())
    }

    fn new(proxy: &str, except: String) -> Option<Self> {
        let url = Url::parse(proxy).ok().filter(|url| url.scheme() == "http")?;
        let decoded = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let login = format!("{}:{}", decoded(url.username()), decoded(url.password().unwrap_or_default()));
        Some(Self {
            host: normalized(url.host_str()?),
            port: url.port().unwrap_or(80),
            authorization: (login != ":").then(|| format!("Basic {}", STANDARD.encode(login))),
            except,
        })
    }

    /// Whether `host` is reached by it.
    pub(super) fn serves(&self, host: &str) -> bool {
        let patterns = self.except.split([' ', ',']).filter(|pattern| !pattern.is_empty());
        !patterns.map(|pattern| pattern.trim_start_matches("*.").trim_start_matches('.')).any(|pattern| {
            let before = host.strip_suffix(pattern);
            pattern == "*" || before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxy_has_a_login_and_exceptions() {
        let upstream = Upstream::new("http://me:a%40b@Proxy:3128/", "localhost, .lan *.home.arpa".to_owned()).unwrap();
        assert_eq!((upstream.host.as_str(), upstream.port), ("proxy", 3128));
        assert_eq!(upstream.authorization.as_deref(), Some("Basic bWU6YUBi"));
        for (host, served) in [("cam", true), ("localhost", false), ("cam.lan", false), ("a.home.arpa", false)] {
            assert_eq!(upstream.serves(host), served, "{host}");
        }
        assert!(!Upstream::new("http://proxy", "*".to_owned()).unwrap().serves("cam"));
        assert_eq!(Upstream::new("socks5://proxy", String::new()), None);
    }
}
