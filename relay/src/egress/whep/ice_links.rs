//! The Link headers with STUN and TURN servers (draft-ietf-wish-whep, section 4.4).

use axum::http::HeaderValue;

use crate::config::IceServer;

/// One header per server. The configuration accepts printable values only.
pub(super) fn ice_links(servers: &[IceServer]) -> Vec<HeaderValue> {
    servers.iter().filter_map(|server| HeaderValue::try_from(link(server)).ok()).collect()
}

fn link(server: &IceServer) -> String {
    let mut link = format!("<{}>; rel=\"ice-server\"", server.url);
    for (name, value) in [("username", &server.username), ("credential", &server.credential)] {
        if let Some(value) = value {
            link += &format!("; {name}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
        }
    }
    if server.credential.is_some() {
        link += "; credential-type=\"password\"";
    }
    link
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_becomes_a_link_header() {
        let server = |url: &str, login: Option<(&str, &str)>| IceServer {
            url: url.to_owned(),
            username: login.map(|(username, _)| username.to_owned()),
            credential: login.map(|(_, credential)| credential.to_owned()),
        };
        let all = [
            server("stun:stun.example.org", None),
            server("turn:turn.example.org?transport=udp", Some(("user", "pass\"word"))),
        ];
        assert_eq!(
            ice_links(&all),
            [
                "<stun:stun.example.org>; rel=\"ice-server\"",
                "<turn:turn.example.org?transport=udp>; rel=\"ice-server\"; username=\"user\"; credential=\"pass\\\"word\"; \
             credential-type=\"password\"",
            ]
        );
    }
}
