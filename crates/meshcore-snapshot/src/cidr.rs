//! Blocks of IP addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A block of addresses, such as `10.0.0.0/8`. One address is a block of full length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cidr {
    network: u128,
    mask: u128,
    is_v4: bool,
}

impl Cidr {
    /// Parses an address or a block; bits after the length are ignored, as Istio does.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let (bits, full) = match address {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
            IpAddr::V6(v6) => (v6.to_bits(), 128),
        };
        let length = length.unwrap_or(full);
        let free = full.checked_sub(length)?;
        let mask = u128::MAX.checked_shl(free).unwrap_or(0);
        Some(Self { network: bits & mask, mask, is_v4: address.is_ipv4() })
    }

    /// Whether the block has this address. IPv4 addresses mapped into IPv6 are IPv4.
    pub fn contains(self, address: IpAddr) -> bool {
        let (bits, is_v4) = match address.to_canonical() {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()), true),
            IpAddr::V6(v6) => (v6.to_bits(), false),
        };
        is_v4 == self.is_v4 && bits & self.mask == self.network
    }

    /// The address, when the block is just one.
    pub fn single(self) -> Option<IpAddr> {
        if self.mask != u128::MAX {
            return None;
        }
        if self.is_v4 {
            u32::try_from(self.network).ok().map(|bits| Ipv4Addr::from_bits(bits).into())
        } else {
            Some(Ipv6Addr::from_bits(self.network).into())
        }
    }

    /// Number of fixed bits among 128: the longer, the more specific.
    pub fn specificity(self) -> u32 {
        self.mask.count_ones()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks() {
        let has = |block: &str, address: &str| {
            Cidr::parse(block).unwrap().contains(address.parse().unwrap())
        };
        for (block, address, expected) in [
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.1.2.3", false),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("10.1.2.3/24", "10.1.2.200", true),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "::1", true),
            ("::/0", "1.2.3.4", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("fd00::/8", "fd12::1", true),
        ] {
            assert_eq!(has(block, address), expected, "{block} {address}");
        }
        for wrong in ["", "10.0.0.0/33", "10.0.0/8", "a", "10.0.0.0/", "::/129", "10.0.0.0/-1"] {
            assert!(Cidr::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_full_block_is_one_address() {
        for address in ["10.1.2.3", "fd00::1"] {
            let expected: IpAddr = address.parse().unwrap();
            assert_eq!(Cidr::parse(address).unwrap().single(), Some(expected));
        }
        assert_eq!(Cidr::parse("10.0.0.0/8").unwrap().single(), None);
        assert_eq!(Cidr::parse("10.0.0.1/32").unwrap().single(), "10.0.0.1".parse().ok());
    }
}
