//! How many there are of something, in all and for each key. Pure; whoever counts somebody takes them away again.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};

/// See the [module](self). A key that nobody has takes no memory.
#[derive(Debug)]
pub struct Counts<K> {
    by_key: HashMap<K, usize>,
}

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self { by_key: HashMap::new() }
    }
}

impl<K: Eq + Hash> Counts<K> {
    /// How many there are of `key`.
    pub fn of(&self, key: &K) -> usize {
        self.by_key.get(key).copied().unwrap_or_default()
    }

    /// One more of `key`.
    pub fn add(&mut self, key: K) {
        *self.by_key.entry(key).or_default() += 1;
    }

    /// One less of `key`.
    pub fn remove(&mut self, key: &K) {
        if let Some(count) = self.by_key.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                self.by_key.remove(key);
            }
        }
    }
}

/// By what an address counts: a customer of IPv6 has a network of at least 64 bits to choose from (RFC 6177), and a socket
/// for both families shows IPv4 as mapped (RFC 4291, section 2.5.5.2).
pub fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn they_are_as_many_as_came_and_have_not_gone(keys in proptest::collection::vec(0u8..4, 0..40)) {
            let mut counts = Counts::default();
            keys.iter().for_each(|&key| counts.add(key));
            for key in 0..4 {
                prop_assert_eq!(counts.of(&key), keys.iter().filter(|&&other| other == key).count());
            }
            keys.iter().for_each(|key| counts.remove(key));
            prop_assert!(counts.by_key.is_empty());
        }
    }

    #[test]
    fn a_household_is_one() {
        let of = |text: &str| household(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
