//! The GPUs that a job file or flags ask for.

use std::str::FromStr;

use common::{
    code::Code,
    problem::Problem,
    resources::GpuRequest,
    units::{Bytes, InvalidBytes},
};
use serde_json::{Map, Value};

use super::super::yaml::{Fields, FileError};

/// Reads the GPUs of each task, with their parts named. Memory without a count is a share of one.
pub(super) fn read(map: &Map<String, Value>) -> Result<GpuRequest, FileError> {
    let keys = ["count", "model", "memory", "share"];
    let fields = Fields::new("resources.gpu", map, &keys)?;
    let said = fields.parsed("count")?;
    let count = said.unwrap_or(1);
    if count == 0 {
        return Err(fields.complain("count", "expected a number from 1"));
    }
    let range = fields.parsed::<MemoryRange>("memory")?.unwrap_or_default();
    let asked = GpuRequest {
        count,
        model: fields.text("model")?.map(|model| model.to_lowercase()),
        memory: None,
        share: false,
        memory_most: None,
    };
    let part = said.is_none() && range.least.is_some() && range.most.is_none();
    Ok(GpuRequest {
        share: fields.flag("share")?.unwrap_or(part),
        ..range.put_into(asked)
    })
}

/// `2`, `rtx-4090` or `rtx-4090:2`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShortGpu(pub(crate) GpuRequest);

impl FromStr for ShortGpu {
    type Err = InvalidGpu;

    fn from_str(text: &str) -> Result<Self, InvalidGpu> {
        let invalid = || InvalidGpu(text.chars().take(40).collect());
        let (model, count) = match text.rsplit_once(':') {
            Some((model, count)) => (Some(model), count.parse().map_err(|_| invalid())?),
            None => match text.parse() {
                Ok(count) => (None, count),
                Err(_) => (Some(text), 1),
            },
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let bad_model = |model: &str| {
            !model.starts_with(|c: char| c.is_ascii_alphanumeric()) || !model.chars().all(plain)
        };
        if count == 0 || model.is_some_and(bad_model) {
            return Err(invalid());
        }
        Ok(Self(GpuRequest {
            count,
            model: model.map(str::to_lowercase),
            memory: None,
            share: false,
            memory_most: None,
        }))
    }
}

/// The text does not say which GPUs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} does not say which GPUs; write 1, rtx-4090 or rtx-4090:2")]
pub(crate) struct InvalidGpu(String);

/// How much memory each GPU has: `20GiB` at least, `20GiB..40GiB`, or `..40GiB` at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct MemoryRange {
    least: Option<Bytes>,
    most: Option<Bytes>,
}

impl MemoryRange {
    /// Returns what is asked for, with this memory.
    pub(crate) fn put_into(self, gpu: GpuRequest) -> GpuRequest {
        GpuRequest {
            memory: self.least,
            memory_most: self.most,
            ..gpu
        }
    }
}

impl FromStr for MemoryRange {
    type Err = InvalidRange;

    fn from_str(text: &str) -> Result<Self, InvalidRange> {
        let bound = |text: &str| match text.trim() {
            "" => Ok(None),
            size => size.parse().map(Some),
        };
        let Some((least, most)) = text.split_once("..") else {
            let least = Some(text.parse()?);
            return Ok(Self { least, most: None });
        };
        let range = Self {
            least: bound(least)?,
            most: bound(most)?,
        };
        match range {
            Self {
                least: None,
                most: None,
            } => Err(InvalidRange::Empty),
            Self {
                least: Some(least),
                most: Some(most),
            } if most < least => Err(InvalidRange::Backwards { least, most }),
            range => Ok(range),
        }
    }
}

/// The text does not say how much memory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidRange {
    #[error(transparent)]
    Size(#[from] InvalidBytes),
    #[error("a range of memory has an end; write 20GiB.., ..40GiB or 20GiB..40GiB")]
    Empty,
    #[error("the range from {least} to {most} ends before it begins")]
    Backwards { least: Bytes, most: Bytes },
}

/// A share is a part of a GPU's memory, so it has to be said how large it is.
pub(super) fn check_share(gpu: Option<&GpuRequest>) -> Result<(), Problem> {
    let unsized_share =
        |gpu: &&GpuRequest| gpu.share && gpu.memory.is_none_or(|m| m == Bytes::ZERO);
    if gpu.filter(unsized_share).is_none() {
        return Ok(());
    }
    let what = "the GPU cannot be shared";
    let why = "a share is a part of its memory, and nothing says how much";
    Err(Problem::new(Code::BadJobFile, what, why)
        .help("Add --gpu-memory 8GiB, or `memory: 8GiB` beside `share: true` in the job file."))
}
