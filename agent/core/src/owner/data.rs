//! Data on the machine: how much of it is kept, whether others may fetch it, and how fast.

use std::{fmt, net::SocketAddr};

use common::{bit_rate::BitRate, units::written_bytes::Written};
use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};

use super::keys::section;

section! {
    /// The part `data`.
    DataKeys {
        "cache_limit" => cache_limit: Written,
        "peers" => peers: Switch,
        "peer_rate" => peer_rate: BitRate,
        "peer_address" => peer_address: SocketAddr,
    }
}

/// Whether other machines of the org may fetch from this one, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerRules {
    /// If not, nothing is fetched from others either.
    pub on: bool,
    /// For all who fetch from it together.
    pub rate: Option<BitRate>,
    /// Where others reach it; `None` is its addresses in private networks, with any free port.
    pub address: Option<SocketAddr>,
}

impl Default for PeerRules {
    fn default() -> Self {
        Self {
            on: true,
            rate: None,
            address: None,
        }
    }
}

impl DataKeys {
    pub(super) fn rules(self) -> PeerRules {
        PeerRules {
            on: self.peers.is_none_or(|switch| switch.0),
            rate: self.peer_rate,
            address: self.peer_address,
        }
    }
}

/// `on` or `off`, which readers of YAML take for words or for truths.
#[derive(Debug)]
pub(super) struct Switch(bool);

impl<'de> Deserialize<'de> for Switch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SwitchVisitor;
        impl Visitor<'_> for SwitchVisitor {
            type Value = Switch;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("on or off")
            }

            fn visit_bool<E: Error>(self, on: bool) -> Result<Switch, E> {
                Ok(Switch(on))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Switch, E> {
                match text {
                    "on" | "true" => Ok(Switch(true)),
                    "off" | "false" => Ok(Switch(false)),
                    other => Err(E::custom(format_args!(
                        "{:?} is neither on nor off",
                        super::keys::shown(other)
                    ))),
                }
            }
        }
        deserializer.deserialize_any(SwitchVisitor)
    }
}
