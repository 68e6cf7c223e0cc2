//! The addresses at which a viewer can reach the relay, and the two forms that an IPv4 address has.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use crate::config::Announced;

/// The addresses to tell a viewer: those of the configuration, then those of this machine.
///
/// Where the relay listens on all of its addresses these are the one that the viewer's HTTP connection `reached`, which
/// so is known to work unless a proxy stands before the relay, and that of the `route` to other networks.
pub(super) fn candidates(
    configured: &[Announced],
    bound: SocketAddr,
    reached: Option<IpAddr>,
    route: Option<IpAddr>,
) -> Vec<SocketAddr> {
    let announced = configured.iter().map(|at| SocketAddr::new(at.ip, at.port.unwrap_or(bound.port())));
    let local = match bound.ip() {
        all if all.is_unspecified() => [reached, route],
        one => [Some(one), None],
    };
    let fits = |ip: &IpAddr| !ip.is_unspecified() && (ip.is_ipv4() || bound.is_ipv6());
    let local = local.into_iter().flatten().map(|ip| ip.to_canonical()).filter(fits);
    let mut all: Vec<SocketAddr> = Vec::new();
    for address in announced.chain(local.map(|ip| SocketAddr::new(ip, bound.port()))) {
        if !all.contains(&address) {
            all.push(address);
        }
    }
    all
}

/// This machine's address on the way to other networks, where there is one. Nothing is sent.
pub(super) fn route() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // An address for documentation (RFC 5737): any that is not on this network would do.
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// An IPv4 address as such, also where it came through an IPv6 socket.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// The form in which a socket takes `address`.
pub(super) fn for_socket(address: SocketAddr, local_is_v6: bool) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if local_is_v6 => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn texts(configured: &[Announced], bound: &str, reached: Option<IpAddr>, route: Option<IpAddr>) -> Vec<String> {
        let all = candidates(configured, bound.parse().unwrap(), reached, route);
        all.iter().map(SocketAddr::to_string).collect()
    }

    #[test]
    fn a_viewer_is_told_where_the_relay_can_be_reached() {
        let (lan, wide) = (ip("192.168.1.5"), ip("10.0.0.7"));
        assert_eq!(texts(&[], "127.0.0.1:8190", lan, wide), ["127.0.0.1:8190"], "what it listens on");
        assert_eq!(texts(&[], "0.0.0.0:8190", lan, wide), ["192.168.1.5:8190", "10.0.0.7:8190"]);
        assert_eq!(texts(&[], "0.0.0.0:8190", lan, lan), ["192.168.1.5:8190"]);
        assert_eq!(texts(&[], "[::]:8190", ip("::ffff:192.168.1.5"), None), ["192.168.1.5:8190"]);
        assert_eq!(texts(&[], "0.0.0.0:8190", ip("fd00::1"), None), [""; 0], "it does not listen there");
        let configured = [
            Announced { ip: ip("203.0.113.7").unwrap(), port: None },
            Announced { ip: ip("203.0.113.8").unwrap(), port: Some(4000) },
        ];
        assert_eq!(
            texts(&configured, "0.0.0.0:8190", lan, None),
            ["203.0.113.7:8190", "203.0.113.8:4000", "192.168.1.5:8190"]
        );
    }

    #[test]
    fn an_ipv4_address_has_two_forms() {
        let plain: SocketAddr = "192.0.2.1:5".parse().unwrap();
        let mapped: SocketAddr = "[::ffff:192.0.2.1]:5".parse().unwrap();
        assert_eq!((canonical(mapped), canonical(plain)), (plain, plain));
        assert_eq!((for_socket(plain, true), for_socket(plain, false)), (mapped, plain));
    }
}
