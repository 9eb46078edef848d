//! Compute resource types, and how much of each may be held.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, MapAccess, Visitor},
    ser::SerializeMap,
};

use super::Quantity;
use crate::{
    name::{InvalidName, Name},
    units::{Bytes, MilliCpu},
};

/// Most resource types that one set of bounds names: more than an org has models of GPUs.
pub const MAX_LIMITED_RESOURCES: usize = 64;

/// What a running task holds and a bound can be set on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ResourceType {
    Cpu,
    Memory,
    /// GPUs of any model; a share of one counts as one.
    Gpu,
    /// GPUs of one model, named as jobs ask for it.
    Model(Name),
}

/// How much of a resource type, in its least unit: thousandths of a processor, bytes, GPUs.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Amount(pub u64);

/// The text names no resource type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidResource {
    #[error(
        "`{0}` is no compute resource type; write cpu, memory, gpu or a GPU's model such as rtx-5090"
    )]
    Unknown(String),
    #[error("`{text}` is no GPU's model: {source}")]
    Model { text: String, source: InvalidName },
}

impl ResourceType {
    /// All that are not models.
    pub const NAMED: [&str; 3] = ["cpu", "memory", "gpu"];

    pub fn as_str(&self) -> &str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Gpu => "gpu",
            Self::Model(model) => model.as_str(),
        }
    }

    /// Returns the amount in the unit that people see.
    pub fn quantity(&self, amount: Amount) -> Quantity {
        match self {
            Self::Cpu => Quantity::Cpu(MilliCpu(u32::try_from(amount.0).unwrap_or(u32::MAX))),
            Self::Memory => Quantity::Size(Bytes(amount.0)),
            Self::Gpu | Self::Model(_) => Quantity::Count(amount.0),
        }
    }
}

impl fmt::Display for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for ResourceType {
    type Err = InvalidResource;

    /// Reads a model in any case. Every model has a digit or a dash in it, so that a mistyped `gpu` is not one.
    fn from_str(text: &str) -> Result<Self, InvalidResource> {
        let short = || text.chars().take(40).collect::<String>();
        let lower = text.to_ascii_lowercase();
        match lower.as_str() {
            "cpu" => Ok(Self::Cpu),
            "memory" => Ok(Self::Memory),
            "gpu" => Ok(Self::Gpu),
            word if !word.contains(|c: char| c.is_ascii_digit() || c == '-') => {
                Err(InvalidResource::Unknown(short()))
            }
            model => model
                .parse()
                .map(Self::Model)
                .map_err(|source| InvalidResource::Model {
                    text: short(),
                    source,
                }),
        }
    }
}

impl TryFrom<String> for ResourceType {
    type Error = InvalidResource;

    fn try_from(text: String) -> Result<Self, InvalidResource> {
        text.parse()
    }
}

impl From<ResourceType> for String {
    fn from(resource: ResourceType) -> Self {
        resource.as_str().to_owned()
    }
}

/// Bounds per compute resource type; what is not named has none.
///
/// In JSON as in the limits file: `{"cpu": 512, "gpu": 16, "rtx-5090": 4}`, with memory in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResourceLimits(BTreeMap<ResourceType, Amount>);

/// More than [`MAX_LIMITED_RESOURCES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("at most {MAX_LIMITED_RESOURCES} resource types can have a limit")]
pub struct TooManyResources;

impl ResourceLimits {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the bounds in the order cpu, memory, gpu, models by name.
    pub fn iter(&self) -> impl Iterator<Item = (&ResourceType, Amount)> {
        self.0.iter().map(|(resource, most)| (resource, *most))
    }

    pub fn most(&self, resource: &ResourceType) -> Option<Amount> {
        self.0.get(resource).copied()
    }

    /// Sets a bound, and returns the one that it replaces.
    ///
    /// # Errors
    /// It would be one too many.
    pub fn set(
        &mut self,
        resource: ResourceType,
        most: Amount,
    ) -> Result<Option<Amount>, TooManyResources> {
        if self.0.len() >= MAX_LIMITED_RESOURCES && !self.0.contains_key(&resource) {
            return Err(TooManyResources);
        }
        Ok(self.0.insert(resource, most))
    }

    /// Takes a bound away.
    pub fn unset(&mut self, resource: &ResourceType) {
        self.0.remove(resource);
    }
}

impl Serialize for ResourceLimits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let for_people = serializer.is_human_readable();
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (resource, most) in &self.0 {
            match resource.quantity(*most) {
                Quantity::Cpu(cpu) if for_people => map.serialize_entry(resource, &cpu)?,
                _ => map.serialize_entry(resource, most)?,
            }
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for ResourceLimits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let for_people = deserializer.is_human_readable();
        deserializer.deserialize_map(Limited { for_people })
    }
}

struct Limited {
    for_people: bool,
}

impl<'de> Visitor<'de> for Limited {
    type Value = ResourceLimits;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a bound for each resource type, such as {\"gpu\": 2}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ResourceLimits, A::Error> {
        let mut limits = ResourceLimits::default();
        while let Some(resource) = map.next_key::<ResourceType>()? {
            let most = if resource == ResourceType::Cpu && self.for_people {
                Amount(map.next_value::<MilliCpu>()?.0.into())
            } else {
                map.next_value()?
            };
            let before = limits.set(resource, most).map_err(A::Error::custom)?;
            if before.is_some() {
                return Err(A::Error::custom("a resource type is named twice"));
            }
        }
        Ok(limits)
    }
}
