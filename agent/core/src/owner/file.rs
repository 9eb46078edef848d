//! The owner's file as a whole: its parts, laid over those of the preset.

use common::{
    label::{Label, MAX_LABELS},
    machine::{Admits, MAX_ADMITTED},
    name::Name,
    status::Network,
    time::Span,
};
use serde::{Deserialize, Deserializer, de::Error as _};

use super::{
    OwnerRules, Preset,
    data::DataKeys,
    keys::section,
    registry_host::Registries,
    resources::Resources,
    when::{GpuKeys, WhenKeys, YieldKeys},
};

section! {
    /// Everything.
    FileKeys {
        "preset" => preset: Preset,
        "resources" => resources: Resources,
        "who" => who: WhoKeys,
        "what" => what: WhatKeys,
        "when" => when: WhenKeys,
        "yield" => yielding: YieldKeys,
        "gpus" => gpus: GpuKeys,
        "data" => data: DataKeys,
        "labels" => labels: Labels,
    }
}

section! {
    /// The part `who`.
    WhoKeys {
        "members" => members: Handles,
        "not" => not: Handles,
        "projects" => projects: Handles,
        "not_projects" => not_projects: Handles,
    }
}

section! {
    /// The part `what`.
    WhatKeys {
        "network" => network: Networks,
        "images" => images: bool,
        "registries" => registries: Registries,
        "max_runtime" => max_runtime: Span,
    }
}

impl<'de> Deserialize<'de> for OwnerRules {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        FileKeys::deserialize(deserializer).map(FileKeys::into_rules)
    }
}

impl FileKeys {
    fn into_rules(self) -> OwnerRules {
        let mut rules = self.preset.unwrap_or_default().rules();
        let resources = self.resources.unwrap_or_default();
        rules.cpu_limit = resources.cpu_limit;
        rules.memory_limit = resources.memory_limit.map(|written| written.0);
        rules.disk_limit = resources.disk_limit.map(|written| written.0);
        rules.gpus = resources.gpus.unwrap_or_default();
        let mut what = self.what.unwrap_or_default();
        let registries = what.registries.take();
        rules.registries = registries.map_or_else(Vec::new, |written| written.0);
        rules.admits = admits(self.who.unwrap_or_default(), what);
        self.when.unwrap_or_default().lay_over(&mut rules);
        self.yielding.unwrap_or_default().lay_over(&mut rules);
        let data = self.data.unwrap_or_default();
        rules.cache_limit = data.cache_limit.as_ref().map(|written| written.0);
        rules.peers = data.rules();
        rules.labels = self.labels.map_or_else(Vec::new, |labels| labels.0);
        let gpus = self.gpus.unwrap_or_default();
        let uses = &mut rules.gpu_use;
        uses.while_present = gpus.while_present.unwrap_or(uses.while_present);
        uses.while_used_by_others = gpus
            .while_used_by_others
            .unwrap_or(uses.while_used_by_others);
        rules
    }
}

fn admits(who: WhoKeys, what: WhatKeys) -> Admits {
    let default = Admits::default();
    Admits {
        members: who.members.map(|handles| handles.0),
        not_members: who.not.map_or(default.not_members, |handles| handles.0),
        networks: what.network.map_or(default.networks, |networks| networks.0),
        images: what.images.unwrap_or(default.images),
        max_runtime: what.max_runtime,
        projects: who.projects.map(|names| names.0),
        not_projects: who
            .not_projects
            .map_or(default.not_projects, |names| names.0),
    }
}

impl WhenKeys {
    fn lay_over(self, rules: &mut OwnerRules) {
        let when = &mut rules.when;
        when.hours = self.hours.or(when.hours.take());
        when.idle_for = self.idle_for.or(when.idle_for);
        when.not_on_battery = self.not_on_battery.unwrap_or(when.not_on_battery);
        when.not_on_metered = self.not_on_metered.unwrap_or(when.not_on_metered);
        if let Some(programs) = self.not_while {
            when.not_while = programs.0;
        }
        let celsius = self.max_temperature.map(|celsius| celsius.0);
        when.max_temperature = celsius.or(when.max_temperature);
        when.memory_pressure = self.memory_pressure.or(when.memory_pressure);
        when.other_cpu_over = self.other_cpu_over.or(when.other_cpu_over);
    }
}

impl YieldKeys {
    fn lay_over(self, rules: &mut OwnerRules) {
        let yielding = &mut rules.yielding;
        yielding.on_return = self.on_return.unwrap_or(yielding.on_return);
        yielding.continue_after = self.continue_after.unwrap_or(yielding.continue_after);
        yielding.freeze_at_most = self.freeze_at_most.unwrap_or(yielding.freeze_at_most);
        yielding.grace = self.grace.or(yielding.grace);
        yielding.own_jobs = self.own_jobs.unwrap_or(yielding.own_jobs);
    }
}

/// Handles of members, or names of projects.
#[derive(Debug)]
pub(super) struct Handles(Vec<Name>);

impl<'de> Deserialize<'de> for Handles {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let handles = Vec::<Name>::deserialize(deserializer)?;
        if handles.len() > MAX_ADMITTED {
            return Err(D::Error::custom(format_args!(
                "more than {MAX_ADMITTED} names in one list"
            )));
        }
        Ok(Self(handles))
    }
}

/// Networks that jobs may have; having none is always one of them.
#[derive(Debug)]
pub(super) struct Networks(Vec<Network>);

impl<'de> Deserialize<'de> for Networks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let words = Vec::<String>::deserialize(deserializer)?;
        let mut networks = vec![Network::None];
        for word in words {
            let network = word.parse().map_err(D::Error::custom)?;
            if !networks.contains(&network) {
                networks.push(network);
            }
        }
        Ok(Self(networks))
    }
}

/// What the owner says of the machine, each key once.
#[derive(Debug)]
pub(super) struct Labels(Vec<Label>);

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Vec::<Label>::deserialize(deserializer)?;
        let count = written.len();
        if count > MAX_LABELS {
            return Err(D::Error::custom(format_args!(
                "more than {MAX_LABELS} labels"
            )));
        }
        let labels = Label::by_key(written);
        if labels.len() < count {
            return Err(D::Error::custom("two labels have the same key"));
        }
        Ok(Self(labels))
    }
}
