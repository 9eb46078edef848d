//! What comes before a job, in the order in which the schedule serves.

use std::cmp::Ordering;

use common::{
    id::{JobId, UserId},
    job::JobNumber,
    status::Priority,
    time::Timestamp,
};

use super::Subject;
use crate::{
    schedule::{
        data,
        feasible::{Ask, may_place},
        history::History,
        order::Order,
        view::MachineView,
    },
    state::{
        State,
        queue::{Queue, Whose},
    },
};

/// Returns how many waiting tasks come before this job's next one, in the order of the schedule.
pub(super) fn ahead(
    state: &State,
    subject: &Subject<'_>,
    history: &History,
    now: Timestamp,
) -> u64 {
    let Some(queue) = state.index.queues.get(&subject.org) else {
        return 0;
    };
    let org = subject.org;
    let order = Order::of(state, org, state.volatile.pool.of(org), now);
    let part = |whose: Whose| order.part(whose, &order.borrowed(whose.user));
    let (own, level) = place_of(state, subject);
    let own_part = part(own);
    // One that is only asked about would be the newest.
    let number = subject
        .job
        .map_or(JobNumber(u64::MAX), |(_, job, _)| job.number);
    let tasks = |id: JobId| {
        let progress = state.progress.get(&id);
        progress.map_or(0, |progress| u64::from(progress.in_queue()))
    };
    let own_takes = has_room_of_its_own(state, subject, history, now);
    let mut ahead = 0;
    for (other_level, lines) in &queue.levels {
        for (whose, waiting) in &lines.lines {
            if state.is_archived(whose.project) {
                continue;
            }
            let first = is_first_on_own(state, subject, queue, whose.user)
                && (whose.user != own.user || !own_takes);
            let by_part = || own_part.cmp(&part(*whose));
            let number = match other_level.0.cmp(&level).then_with(by_part) {
                Ordering::Greater => None,
                _ if first => None,
                // Of one's own line, and of those with the same part, what is older.
                Ordering::Equal => Some(number),
                Ordering::Less => continue,
            };
            ahead += waiting.tasks_before(number, tasks);
            // Not itself, where it is in the line.
            let itself = subject.job.filter(|(_, job, progress)| {
                let in_line = *whose == own && other_level.0 == level;
                number.is_none() && in_line && progress.is_ready(job.parallel())
            });
            ahead = ahead.saturating_sub(itself.map_or(0, |(id, _, _)| tasks(id)));
        }
    }
    ahead
}

/// Returns whether it could start on one of its owner's own machines now. Those on which it failed do not come first.
fn has_room_of_its_own(
    state: &State,
    subject: &Subject<'_>,
    history: &History,
    now: Timestamp,
) -> bool {
    let pool = state.volatile.pool.of(subject.org);
    let own = pool.and_then(|pool| pool.own.get(&subject.owner));
    let limits = state.orgs.get(&subject.org).map(|org| &org.limits);
    let (Some(own), Some(limits)) = (own, limits) else {
        return false;
    };
    let ask = Ask {
        data: data::cached_for(state, subject),
        job: subject.job.map(|(id, _, _)| id),
        given_back: &history.given_back,
        now,
        ..Ask::of(state, limits, subject.owner, subject.spec)
    };
    let mut machines = own.groups().flat_map(|(_, _, group)| group.machines());
    machines.any(|machine| {
        let view = MachineView::of(state, machine);
        let view = view.filter(|_| !history.failed_on.contains(&machine));
        view.is_some_and(|view| may_place(&view, &ask).is_ok())
    })
}

/// Returns whether the member's own machines may have room that the next pass gives to the member's own jobs first.
fn is_first_on_own(state: &State, subject: &Subject<'_>, queue: &Queue, user: UserId) -> bool {
    let first = state.volatile.first.get(&subject.org);
    if !first.is_some_and(|first| first.contains(&user)) {
        return false;
    }
    let pool = state.volatile.pool.of(subject.org);
    let own = pool.and_then(|pool| pool.own.get(&user));
    own.is_some_and(|own| {
        let mut classes = queue.classes();
        classes.any(|(class, _)| own.may_fit(&class.request, class.data))
    })
}

/// Returns in whose line it stands, and at which priority.
fn place_of(state: &State, subject: &Subject<'_>) -> (Whose, Priority) {
    let priority = subject.spec.priority;
    match subject.job {
        Some((_, job, progress)) => (Whose::of(job), progress.level(priority)),
        None => {
            let name = subject.spec.project.as_ref();
            let names = state.index.project_names.get(&subject.org);
            let whose = Whose {
                user: subject.owner,
                project: names
                    .zip(name)
                    .and_then(|(names, name)| names.get(name).copied()),
            };
            (whose, priority)
        }
    }
}
