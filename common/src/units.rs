//! Amounts with their unit in the type: bytes and thousandths of a processor.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An amount of memory or storage.
///
/// Shown in IEC units. A bare number is megabytes where people write it (`16384` is 16 GiB, as in the
/// org's limits file), and bytes in JSON output and on the wire.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl Bytes {
    pub const ZERO: Self = Self(0);

    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    pub const fn gib(count: u64) -> Self {
        Self(count << 30)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u32, &str); 5] = [
            (50, "PiB"),
            (40, "TiB"),
            (30, "GiB"),
            (20, "MiB"),
            (10, "KiB"),
        ];
        let text = match UNITS.iter().find(|(shift, _)| self.0 >> shift > 0) {
            None => format!("{} B", self.0),
            Some((shift, unit)) => {
                let tenths = (u128::from(self.0) * 10 + (1 << (shift - 1))) >> shift;
                if tenths % 10 == 0 {
                    format!("{} {unit}", tenths / 10)
                } else {
                    format!("{}.{} {unit}", tenths / 10, tenths % 10)
                }
            }
        };
        f.pad(&text)
    }
}

impl FromStr for Bytes {
    type Err = InvalidBytes;

    fn from_str(text: &str) -> Result<Self, InvalidBytes> {
        let text = text.trim();
        if let Ok(megabytes) = text.parse::<u64>() {
            return megabytes
                .checked_mul(1 << 20)
                .map(Self)
                .ok_or(InvalidBytes::TooLarge);
        }
        let invalid = || InvalidBytes::Syntax(text.chars().take(40).collect());
        if !text.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(invalid());
        }
        let size: bytesize::ByteSize = text.parse().map_err(|_| invalid())?;
        Ok(Self(size.as_u64()))
    }
}

/// Why a text is not an amount of [`Bytes`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBytes {
    #[error("{0:?} is not a size; write megabytes or a unit, as in 512, 512MiB, 16GiB or 2TiB")]
    Syntax(String),
    #[error("that size is larger than any machine")]
    TooLarge,
}

/// Deserialises a size that people wrote: a text with a unit, or a bare number of megabytes.
///
/// For files (job, limits, owner's rules); API and wire carry bytes.
pub mod written_bytes {
    use super::{Bytes, Deserialize, Deserializer, FromStr, fmt};

    struct Visitor;

    impl serde::de::Visitor<'_> for Visitor {
        type Value = Bytes;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a size such as 512 (MB), 512MiB or 16GiB")
        }

        fn visit_u64<E: serde::de::Error>(self, megabytes: u64) -> Result<Bytes, E> {
            Bytes::from_str(&megabytes.to_string()).map_err(E::custom)
        }

        fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Bytes, E> {
            Err(E::custom(format_args!(
                "a size cannot be negative: {number}"
            )))
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Bytes, E> {
            text.parse().map_err(E::custom)
        }
    }

    /// Reads one size.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        deserializer.deserialize_any(Visitor)
    }

    /// A size inside an `Option` or a collection.
    #[derive(Debug, Clone, Copy)]
    pub struct Written(pub Bytes);

    impl<'de> Deserialize<'de> for Written {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserialize(deserializer).map(Self)
        }
    }

    /// Reads an optional size; for `#[serde(default, deserialize_with = …)]`.
    pub fn optional<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Bytes>, D::Error> {
        Ok(Option::<Written>::deserialize(d)?.map(|written| written.0))
    }
}

/// Thousandths of a processor. People write `4`, `0.5`; JSON has the number of processors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MilliCpu(pub u32);

impl MilliCpu {
    pub const ZERO: Self = Self(0);

    /// Returns `count` whole processors, at most four million.
    pub const fn cpus(count: u32) -> Self {
        Self(count.saturating_mul(1000))
    }
}

impl fmt::Display for MilliCpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = if self.0.is_multiple_of(1000) {
            format!("{}", self.0 / 1000)
        } else {
            format!("{}.{:03}", self.0 / 1000, self.0 % 1000)
                .trim_end_matches('0')
                .to_owned()
        };
        f.pad(&text)
    }
}

impl FromStr for MilliCpu {
    type Err = InvalidMilliCpu;

    fn from_str(text: &str) -> Result<Self, InvalidMilliCpu> {
        let invalid = || InvalidMilliCpu(text.chars().take(40).collect());
        let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || fraction.len() > 3 || !digits(whole) || !digits(fraction) {
            return Err(invalid());
        }
        let thousandths = format!("{fraction:0<3}")
            .parse::<u32>()
            .map_err(|_| invalid())?;
        let whole = whole.parse::<u32>().map_err(|_| invalid())?;
        whole
            .checked_mul(1000)
            .and_then(|milli| milli.checked_add(thousandths))
            .map(Self)
            .ok_or_else(invalid)
    }
}

/// The text is not a number of processors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a number of processors; write 1, 4 or 0.5 (steps of 0.001)")]
pub struct InvalidMilliCpu(String);

impl Serialize for MilliCpu {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            self.0.serialize(serializer)
        } else if self.0.is_multiple_of(1000) {
            serializer.serialize_u32(self.0 / 1000)
        } else {
            serializer.serialize_f64(f64::from(self.0) / 1000.0)
        }
    }
}

impl<'de> Deserialize<'de> for MilliCpu {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = MilliCpu;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of processors such as 4 or 0.5")
            }

            fn visit_u64<E: serde::de::Error>(self, cpus: u64) -> Result<MilliCpu, E> {
                self.visit_str(&cpus.to_string())
            }

            fn visit_i64<E: serde::de::Error>(self, cpus: i64) -> Result<MilliCpu, E> {
                self.visit_str(&cpus.to_string())
            }

            fn visit_f64<E: serde::de::Error>(self, cpus: f64) -> Result<MilliCpu, E> {
                self.visit_str(&cpus.to_string())
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<MilliCpu, E> {
                text.parse().map_err(E::custom)
            }
        }
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(Visitor)
        } else {
            u32::deserialize(deserializer).map(Self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn bytes(text: &str, expect: Option<(u64, &str)>) {
        let parsed = text.parse::<Bytes>().ok();
        let shown = parsed.map(|bytes| (bytes.0, bytes.to_string()));
        assert_eq!(shown, expect.map(|(n, s)| (n, s.to_owned())), "{text:?}");
    }

    #[test]
    fn sizes_read_what_people_write() {
        bytes("1GiB", Some((1 << 30, "1 GiB")));
        bytes("16384", Some((16 << 30, "16 GiB")));
        bytes("512 MiB", Some((512 << 20, "512 MiB")));
        bytes("1.5GiB", Some((3 << 29, "1.5 GiB")));
        bytes("1GB", Some((1_000_000_000, "953.7 MiB")));
        bytes("0", Some((0, "0 B")));
        bytes("16 bananas", None);
        bytes("-1GiB", None);
        bytes("NaN", None);
        bytes("", None);
        bytes("99999999999999999", None);
    }

    #[track_caller]
    fn cpu(text: &str, expect: Option<(u32, &str)>) {
        let parsed = text.parse::<MilliCpu>().ok();
        assert_eq!(
            parsed.map(|c| (c.0, c.to_string())),
            expect.map(|(n, s)| (n, s.to_owned()))
        );
    }

    #[test]
    fn processors_are_exact_thousandths() {
        cpu("4", Some((4000, "4")));
        cpu("0.5", Some((500, "0.5")));
        cpu("1.25", Some((1250, "1.25")));
        for bad in ["-1", "1e3", "NaN", "inf", "", ".5", "1.2345", "99999999999"] {
            cpu(bad, None);
        }
        assert_eq!(serde_json::to_string(&MilliCpu(1500)).unwrap(), "1.5");
        assert_eq!(
            serde_json::from_str::<MilliCpu>("1.5").unwrap(),
            MilliCpu(1500)
        );
    }
}
