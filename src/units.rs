//! Durations and sizes as people write them: always with a unit.
//!
//! A bare number is refused wherever one of these is wanted, because nobody remembers at 2 a.m. whether `timeout = 60`
//! meant seconds.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text or number is no duration or size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// A duration without a unit.
    #[error("a bare number is no duration: write the unit, such as \"{0}s\"")]
    BareDuration(i64),
    /// A size without a unit.
    #[error("a bare number is no size: write the unit, \"{0}B\" where bytes are meant")]
    BareSize(i64),
    /// Not a duration.
    #[error("{0:?} is no duration: write it like \"90s\", \"5m\" or \"1h 30m\"")]
    Duration(String),
    /// Not a size.
    #[error("{0:?} is no size: write it like \"512MiB\" or \"1GiB\"")]
    Size(String),
}

/// A duration, in TOML and in JSON a text with units: `"90s"`, `"1h 30m"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HumanDuration(pub Duration);

impl HumanDuration {
    /// A number of seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// The duration of the standard library.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl From<HumanDuration> for Duration {
    fn from(duration: HumanDuration) -> Self {
        duration.0
    }
}

impl FromStr for HumanDuration {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        if let Ok(number) = text.trim().parse() {
            return Err(UnitError::BareDuration(number));
        }
        humantime::parse_duration(text).map(Self).map_err(|_| UnitError::Duration(shortened(text)))
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&humantime::format_duration(self.0).to_string())
    }
}

/// A number of bytes, in TOML and in JSON a text with a unit: `"1GiB"` (1024³), `"1GB"` (1000³).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

const BINARY: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
const DECIMAL: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];

impl Size {
    /// The number of bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let text = text.trim();
        let wrong = || UnitError::Size(shortened(text));
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = (&text[..split], text[split..].trim_start());
        let number: u64 = digits.parse().map_err(|_| wrong())?;
        if unit.is_empty() {
            return Err(i64::try_from(number).map_or_else(|_| wrong(), UnitError::BareSize));
        }
        let power = |names: &[&str], base: u64| {
            let exponent = names.iter().position(|n| n.eq_ignore_ascii_case(unit))?;
            base.checked_pow(u32::try_from(exponent).ok()?)?.checked_mul(number)
        };
        power(&BINARY, 1024).or_else(|| power(&DECIMAL, 1000)).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut number = self.0;
        let mut unit = 0;
        while number != 0 && number.is_multiple_of(1024) && unit + 1 < BINARY.len() {
            number /= 1024;
            unit += 1;
        }
        f.pad(&format!("{number}{}", BINARY[unit]))
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

macro_rules! as_text {
    ($type:ident, $bare:ident, $expecting:literal) => {
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl Visitor<'_> for Text {
                    type Value = $type;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                    fn visit_i64<E: de::Error>(self, number: i64) -> Result<$type, E> {
                        Err(E::custom(UnitError::$bare(number)))
                    }
                    fn visit_u64<E: de::Error>(self, number: u64) -> Result<$type, E> {
                        Err(E::custom(UnitError::$bare(i64::try_from(number).unwrap_or(i64::MAX))))
                    }
                }
                deserializer.deserialize_any(Text)
            }
        }
    };
}

as_text!(HumanDuration, BareDuration, "a duration such as \"90s\"");
as_text!(Size, BareSize, "a size such as \"512MiB\"");

#[cfg(test)]
mod tests {
    use super::{HumanDuration, Size, UnitError};

    #[test]
    fn durations_carry_a_unit() {
        assert_eq!("90s".parse(), Ok(HumanDuration::from_secs(90)));
        assert_eq!("1h 30m".parse(), Ok(HumanDuration::from_secs(5400)));
        assert_eq!("60".parse::<HumanDuration>(), Err(UnitError::BareDuration(60)));
        assert_eq!(serde_json::to_string(&HumanDuration::from_secs(90)).unwrap(), "\"1m 30s\"");
        assert!(serde_json::from_str::<HumanDuration>("60").unwrap_err().to_string().contains("\"60s\""));
    }

    #[test]
    fn sizes_carry_a_unit_and_do_not_overflow() {
        assert_eq!("1GiB".parse(), Ok(Size(1 << 30)));
        assert_eq!("2 kB".parse(), Ok(Size(2000)));
        assert_eq!("10B".parse(), Ok(Size(10)));
        assert_eq!("512".parse::<Size>(), Err(UnitError::BareSize(512)));
        assert!("99999999999999TiB".parse::<Size>().is_err());
        assert!("GiB".parse::<Size>().is_err());
        for size in [Size(0), Size(1), Size(1023), Size(1024), Size(1536), Size(1 << 40), Size(u64::MAX)] {
            assert_eq!(size.to_string().parse(), Ok(size));
        }
    }
}
