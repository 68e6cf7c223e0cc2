//! The addresses at which viewers reach the relay, and the two forms of an IPv4 address.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use crate::config::Announced;

/// The candidate addresses for a viewer: the configured ones, then this machine's.
///
/// A wildcard socket has two local candidates. One is the address that the viewer's HTTP connection `reached`; it works unless
/// there is a proxy. The other is that of the `route` to other networks.
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

/// This machine's address for other networks, if there is a route. Sends nothing.
pub(super) fn route() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // An address for documentation (RFC 5737): any address outside this network will do.
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Converts an IPv4-mapped IPv6 address to IPv4.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Converts `address` to the family of the local socket.
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
    fn candidates_are_the_reachable_addresses() {
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
    fn ipv4_address_maps_to_and_from_ipv6() {
        let plain: SocketAddr = "192.0.2.1:5".parse().unwrap();
        let mapped: SocketAddr = "[::ffff:192.0.2.1]:5".parse().unwrap();
        assert_eq!((canonical(mapped), canonical(plain)), (plain, plain));
        assert_eq!((for_socket(plain, true), for_socket(plain, false)), (mapped, plain));
    }
}
