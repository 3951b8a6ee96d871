//! Ranges of IPv4 addresses, as `10.0.0.0/16`.

use std::fmt;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// A range of IPv4 addresses. It has no bits behind its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    first: Ipv4Addr,
    prefix: u8,
}

impl Cidr {
    /// Reads `10.0.0.0/16`; an address with bits behind the prefix is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (first, prefix) = text.split_once('/')?;
        let (first, prefix): (Ipv4Addr, u8) = (first.parse().ok()?, prefix.parse().ok()?);
        let range = Self { first, prefix };
        (prefix <= 32 && first.to_bits() & !range.mask() == 0).then_some(range)
    }

    /// The range of 256 addresses that holds `address`.
    #[must_use]
    pub fn of_256(address: Ipv4Addr) -> Self {
        let all = Self { first: address, prefix: 24 };
        Self { first: Ipv4Addr::from_bits(address.to_bits() & all.mask()), ..all }
    }

    fn mask(self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0)
    }

    /// How many leading bits its addresses share.
    #[must_use]
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// Does this address lie in it?
    #[must_use]
    pub fn contains(self, ip: Ipv4Addr) -> bool {
        ip.to_bits() & self.mask() == self.first.to_bits()
    }

    /// Does all of `other` lie in it?
    #[must_use]
    pub fn holds(self, other: Self) -> bool {
        other.prefix >= self.prefix && self.contains(other.first)
    }

    /// Do they have an address in common?
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.holds(other) || other.holds(self)
    }

    /// Its last address.
    #[must_use]
    pub fn last(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.first.to_bits() | !self.mask())
    }

    /// Its address number `n`, the first being number 0.
    #[must_use]
    pub fn nth(self, n: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.first.to_bits().saturating_add(n))
    }

    /// Is it one of the private ranges of RFC 1918, or a part of one?
    #[must_use]
    pub fn is_private(self) -> bool {
        self.first.is_private() && self.last().is_private()
    }
}

impl TryFrom<String> for Cidr {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
            .ok_or_else(|| format!("{text:?} is no range of IPv4 addresses such as 10.0.0.0/16"))
    }
}

impl From<Cidr> for String {
    fn from(range: Cidr) -> String {
        range.to_string()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::Cidr;

    #[test]
    fn a_range_has_no_bits_behind_its_prefix() {
        let parse = |text: &str| Cidr::try_from(text.to_owned());
        let wide = parse("10.0.0.0/16").unwrap();
        assert!(wide.holds(parse("10.0.1.0/24").unwrap()) && !wide.holds(parse("10.1.0.0/24").unwrap()));
        assert!(!wide.holds(parse("10.0.0.0/8").unwrap()));
        assert_eq!(parse("0.0.0.0/0").unwrap().to_string(), "0.0.0.0/0");
        for wrong in ["10.0.0.1/16", "10.0.0.0", "10.0.0.0/33", "fd00::/8", ""] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
