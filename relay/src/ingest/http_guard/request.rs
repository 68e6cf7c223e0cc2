//! The head of FFmpeg's request to a proxy (RFC 9112, section 3.2): its host, and the same request for that host.

use url::Url;

/// The longest head. FFmpeg's has a few hundred bytes, and the operator's `-headers`.
pub(super) const HEAD_MAX: usize = 64 * 1024;

/// See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// As [`normalized`] has it.
    pub(super) host: String,
    pub(super) port: u16,
    /// Whether it asks for a tunnel (`CONNECT`).
    pub(super) is_tunnel: bool,
    method: String,
    /// As FFmpeg wrote it.
    target: String,
    /// As the origin server expects it.
    path: String,
    /// Without those for one connection.
    fields: Vec<String>,
}

impl Head {
    /// Parses a head; none if it is not one of a request to a proxy.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.split("\r\n");
        let mut words = lines.next()?.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let is_tunnel = method == "CONNECT";
        let url = Url::parse(&if is_tunnel { format!("https://{target}") } else { target.clone() }).ok()?;
        if !is_tunnel && url.scheme() != "http" {
            return None;
        }
        let path = target.splitn(4, '/').nth(3).unwrap_or_default();
        let is_for_connection = |line: &&str| {
            let name = line.split(':').next().unwrap_or_default();
            ["connection", "proxy-connection", "proxy-authorization"].iter().any(|of| name.eq_ignore_ascii_case(of))
        };
        Some(Self {
            host: normalized(url.host_str()?),
            port: url.port_or_known_default()?,
            is_tunnel,
            method,
            path: format!("/{path}"),
            target,
            fields: lines.filter(|line| !line.is_empty() && !is_for_connection(line)).map(str::to_owned).collect(),
        })
    }

    /// The head for the origin server. The connection ends with the response.
    pub(super) fn for_origin(&self) -> Vec<u8> {
        self.with_target(&self.path, Some("Connection: close"))
    }

    /// The head for another proxy.
    pub(super) fn for_proxy(&self, authorization: Option<&str>) -> Vec<u8> {
        let authorization = authorization.map(|credentials| format!("Proxy-Authorization: {credentials}"));
        let close = (!self.is_tunnel).then_some("Connection: close");
        self.with_target(&self.target, close.into_iter().chain(authorization.as_deref()))
    }

    fn with_target<'a>(&'a self, target: &str, more: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
        let fields: String =
            self.fields.iter().map(String::as_str).chain(more).map(|field| format!("{field}\r\n")).collect();
        format!("{} {target} HTTP/1.1\r\n{fields}\r\n", self.method).into_bytes()
    }
}

/// A host as it is compared, in lower case, an IPv6 address without brackets. A name and an IPv4 address have several spellings
/// (WHATWG URL, host parsing).
pub(super) fn normalized(host: &str) -> String {
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    let url = if host.contains(':') { format!("http://[{host}]") } else { format!("http://{host}") };
    let parsed = Url::parse(&url).ok().and_then(|url| url.host_str().map(str::to_owned));
    let host = parsed.unwrap_or_else(|| host.to_ascii_lowercase());
    host.trim_start_matches('[').trim_end_matches(']').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_names_its_host_and_loses_what_is_for_the_proxy() {
        let head = "GET http://Cam.local:81/a/b?c=/d HTTP/1.1\r\nUser-Agent: Lavf\r\nConnection: keep-alive\r\n\
                    Host: Cam.local:81\r\nProxy-Authorization: Basic eA==\r\n\r\n";
        let head = Head::parse(head).unwrap();
        assert_eq!((head.host.as_str(), head.port, head.is_tunnel), ("cam.local", 81, false));
        let origin = "GET /a/b?c=/d HTTP/1.1\r\nUser-Agent: Lavf\r\nHost: Cam.local:81\r\nConnection: close\r\n\r\n";
        assert_eq!(String::from_utf8(head.for_origin()).unwrap(), origin);
        let proxy = String::from_utf8(head.for_proxy(Some("Basic eTp6"))).unwrap();
        assert!(proxy.starts_with("GET http://Cam.local:81/a/b?c=/d HTTP/1.1\r\n"), "{proxy}");
        assert!(proxy.ends_with("Connection: close\r\nProxy-Authorization: Basic eTp6\r\n\r\n"), "{proxy}");
    }

    #[test]
    fn hosts_are_compared_in_one_form() {
        for (line, host, port) in [
            ("GET http://10.0.0.2 HTTP/1.1", "10.0.0.2", 80),
            // Other spellings of the same address.
            ("GET http://0x7f.1/ HTTP/1.1", "127.0.0.1", 80),
            ("GET http://user@inner/ HTTP/1.1", "inner", 80),
            ("GET http://cam./ HTTP/1.1", "cam", 80),
            ("CONNECT [fe80::1]:443 HTTP/1.1", "fe80::1", 443),
            ("CONNECT Cam:8443 HTTP/1.1", "cam", 8443),
            ("CONNECT cäm:443 HTTP/1.1", "xn--cm-via", 443),
        ] {
            let head = Head::parse(&format!("{line}\r\n\r\n")).unwrap();
            assert_eq!((head.host.as_str(), head.port), (host, port), "{line}");
        }
        for line in ["GET / HTTP/1.1", "GET https://a/ HTTP/1.1", "CONNECT  HTTP/1.1", "GET", ""] {
            assert_eq!(Head::parse(&format!("{line}\r\n\r\n")), None, "{line}");
        }
    }
}
