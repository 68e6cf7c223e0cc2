//! Reads networks in CIDR notation: `192.0.2.0/24`, or one address.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;

/// A network in the configuration.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Network(pub(super) IpNet);

/// The text is not a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address or a network, such as \"192.0.2.7\" or \"10.0.0.0/8\"")]
pub(super) struct NotNetwork(String);

impl TryFrom<String> for Network {
    type Error = NotNetwork;

    fn try_from(text: String) -> Result<Self, NotNetwork> {
        let network = text.parse().or_else(|_| text.parse().map(|address: IpAddr| address.into()));
        network.map(Self).map_err(|_| NotNetwork(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Result<String, String> {
        let network = Network::try_from(text.to_owned()).map_err(|error| error.to_string())?;
        Ok(network.0.trunc().to_string())
    }

    #[test]
    fn network_is_a_prefix_or_one_address() {
        for (text, expected) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("192.0.2.7", "192.0.2.7/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:db8::/33", "2001:db8::/33"),
            ("::1", "::1/128"),
        ] {
            assert_eq!(network(text).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn malformed_network_is_quoted() {
        for text in ["", "x", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/-1", "10.0.0/8", "10.0.0.0/8/8"] {
            let error = network(text).unwrap_err();
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
    }
}
