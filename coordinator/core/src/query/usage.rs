//! Usage by member, machine, project or GPU. Taken day by day, so that no single look at the state is long: a [`Tally`]
//! is begun, fed one day after the other, and finished.

use std::collections::BTreeMap;

use common::{
    api::usage::{ShowUsage, UsageReport},
    id::{MachineId, OrgId, ProjectId, UserId},
    problem::Problem,
    status::UsageBy,
    units::Bytes,
    usage::{MAX_MODELS, MilliSeconds, OTHER_MODELS, UsageRow, UsageSums},
};

use super::most;
use crate::{
    policy::{Action, permit},
    state::{
        State,
        usage::{Day, Sums, UsageKey, Used},
    },
};

/// Sums in the making.
#[derive(Debug)]
pub struct Tally {
    org: OrgId,
    by: UsageBy,
    since: Option<Day>,
    /// The member whose use alone is shown, and what their machines lent.
    only: Option<UserId>,
    after: Option<String>,
    most: usize,
    /// The first day that is not in it.
    next: Day,
    total: Used,
    rows: BTreeMap<Of, Row>,
}

/// What a row is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Of {
    Member(UserId),
    Machine(MachineId),
    Project(Option<ProjectId>),
    Gpu(String),
}

#[derive(Debug, Clone, Default)]
struct Row {
    used: Used,
    own: Sums,
    lent: Sums,
}

impl Tally {
    /// Begins, with nothing in it.
    ///
    /// # Errors
    /// No member of the org.
    pub fn begin(state: &State, user: UserId, request: &ShowUsage) -> Result<Self, Problem> {
        permit(state, request.org, user, Action::SeeOwnUsage)?;
        let everybody = permit(state, request.org, user, Action::SeeAnyUsage).is_ok();
        let since = request.since.map(Day::of);
        Ok(Self {
            org: request.org,
            by: request.by,
            since,
            only: (!everybody).then_some(user),
            after: request.after.clone(),
            most: most(request.limit.max(1)),
            next: since.unwrap_or_default(),
            total: Used::default(),
            rows: BTreeMap::new(),
        })
    }

    /// Takes the next day in on which anything ended. Returns whether there was one.
    pub fn take_day(&mut self, state: &State) -> bool {
        let found = state.index.usage.first_from(self.org, self.next);
        let Some((day, keys)) = found else {
            return false;
        };
        for (key, used) in keys {
            self.take(state, key, used);
        }
        self.next = day.next();
        true
    }

    fn take(&mut self, state: &State, key: &UsageKey, used: &Used) {
        let owner = state.machines.get(&key.machine).map(|row| row.owner);
        let is_own = owner == Some(key.member);
        let of = |user: UserId| self.only.is_none_or(|only| only == user);
        let lender = owner.filter(|owner| !is_own && of(*owner));
        if of(key.member) {
            self.total.add(used);
            for of in self.rows_of(key, used) {
                let row = self.rows.entry(of).or_default();
                row.used.add(used);
                if is_own {
                    row.own.add(&used.together());
                }
            }
        }
        let lending = lender.and_then(|lender| match self.by {
            UsageBy::Member => Some(Of::Member(lender)),
            UsageBy::Machine => Some(Of::Machine(key.machine)),
            UsageBy::Project | UsageBy::Gpu => None,
        });
        if let Some(lending) = lending {
            let row = self.rows.entry(lending).or_default();
            row.lent.add(&used.together());
        }
    }

    /// Returns the rows that somebody's use is in: one, but for GPUs one for each model.
    fn rows_of(&self, key: &UsageKey, used: &Used) -> Vec<Of> {
        match self.by {
            UsageBy::Member => vec![Of::Member(key.member)],
            UsageBy::Machine => vec![Of::Machine(key.machine)],
            UsageBy::Project => vec![Of::Project(key.project)],
            UsageBy::Gpu => {
                let models = used.together().gpu_ms.into_keys();
                models.map(Of::Gpu).collect()
            }
        }
    }

    /// Returns the page that was asked for.
    pub fn finish(self, state: &State) -> UsageReport {
        let mut rows: BTreeMap<String, UsageRow> = BTreeMap::new();
        for (of, row) in self.rows {
            let shown = of.show(state, row);
            rows.insert(shown.id.clone(), shown);
        }
        let after = self.after;
        let mut rest = rows
            .into_values()
            .filter(|row| after.as_ref().is_none_or(|after| row.id > *after));
        let page: Vec<UsageRow> = rest.by_ref().take(self.most).collect();
        let more = rest.next().is_some();
        UsageReport {
            by: self.by,
            since: self.since.map(Day::begin),
            billed: sums(self.total.billed),
            unbilled: sums(self.total.unbilled),
            after: page.last().filter(|_| more).map(|row| row.id.clone()),
            rows: page,
        }
    }
}

impl Of {
    fn show(self, state: &State, row: Row) -> UsageRow {
        let (id, name) = match &self {
            Self::Member(id) => {
                let row = state.users.get(id);
                (id.to_string(), row.map(|row| row.handle.to_string()))
            }
            Self::Machine(id) => {
                let row = state.machines.get(id);
                (id.to_string(), row.map(|row| row.name.to_string()))
            }
            Self::Project(Some(id)) => {
                let row = state.projects.get(id);
                (id.to_string(), row.map(|row| row.name.to_string()))
            }
            Self::Project(None) => (String::new(), None),
            Self::Gpu(model) => (model.clone(), Some(model.clone())),
        };
        // Of attempts with GPUs of several models, nothing but the time of each can be told apart.
        let shown = |all: Sums| match &self {
            Self::Gpu(model) => UsageSums {
                gpu_seconds: all
                    .gpu_ms
                    .get(model)
                    .map(|ms| (model.clone(), milliseconds(*ms)))
                    .into_iter()
                    .collect(),
                ..UsageSums::default()
            },
            _ => sums(all),
        };
        UsageRow {
            id,
            name,
            billed: shown(row.used.billed),
            unbilled: shown(row.used.unbilled),
            own: shown(row.own),
            lent: shown(row.lent),
        }
    }
}

fn sums(all: Sums) -> UsageSums {
    let mut gpu_seconds: BTreeMap<String, MilliSeconds> = BTreeMap::new();
    let mut beyond = 0;
    for (model, ms) in all.gpu_ms {
        if gpu_seconds.len() < MAX_MODELS {
            gpu_seconds.insert(model, milliseconds(ms));
        } else {
            beyond += ms;
        }
    }
    if beyond > 0 {
        let sum = gpu_seconds.entry(OTHER_MODELS.to_owned()).or_default();
        *sum = milliseconds(beyond + u128::from(sum.0));
    }
    UsageSums {
        attempts: all.attempts,
        wall_seconds: milliseconds(all.wall_ms),
        cpu_seconds: milliseconds(all.cpu_ms),
        cpu_used_seconds: milliseconds(all.cpu_used_ms),
        memory_mib_seconds: milliseconds(all.memory_mib_ms),
        gpu_seconds,
        stored: Bytes(number(all.stored)),
        moved: Bytes(number(all.moved)),
    }
}

fn milliseconds(sum: u128) -> MilliSeconds {
    MilliSeconds(number(sum))
}

fn number(sum: u128) -> u64 {
    u64::try_from(sum).unwrap_or(u64::MAX)
}
