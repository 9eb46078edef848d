//! From an entry's JSON to words. Entries outlive the types that they were written from, so that this reads fields by
//! their names, and says nothing of what it does not know.

use common::{
    audit::MAX_WORDS,
    id::{
        DatasetId, DeviceId, InvitationId, JobId, MachineId, ProjectId, SecretId, TokenId, UserId,
    },
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    event::{Guest, Holder},
    state::{State, approval::ApprovalSubject},
};

type Fields = Map<String, Value>;

/// What an entry says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) event: String,
    pub(super) subject: Option<String>,
    pub(super) change: Option<String>,
    /// The token that it was done with.
    pub(super) token: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    event: Fields,
    #[serde(default)]
    token: Option<TokenId>,
}

impl Said {
    pub(super) fn of(state: &State, json: &str) -> Self {
        let Ok(Entry { event, token }) = serde_json::from_str(json) else {
            return Self::default();
        };
        Self {
            event: text(&event, "event").unwrap_or_default().to_owned(),
            subject: subject(state, &event).map(short),
            change: change(state, &event)
                .filter(|words| !words.is_empty())
                .map(short),
            token: token.map(|id| token_name(state, id)),
        }
    }
}

/// Returns the name of what the event happened to: the nearest thing that it names.
fn subject(state: &State, event: &Fields) -> Option<String> {
    attempt(state, event)
        .or_else(|| job(state, event, "job"))
        .or_else(|| machine(state, read(event, "machine")?))
        .or_else(|| dataset(state, event))
        .or_else(|| asked_about(state, event))
        .or_else(|| secret(state, event))
        .or_else(|| device(state, event))
        .or_else(|| token(state, event))
        .or_else(|| approval(state, event))
        .or_else(|| project(state, event))
        .or_else(|| invitation(state, event))
        .or_else(|| holder(state, event))
        .or_else(|| user(state, read(event, "user")?))
        .or_else(|| text(event, "name").map(str::to_owned))
        .or_else(|| text(event, "handle").map(str::to_owned))
}

/// Returns what a request for approval is about.
fn approval(state: &State, event: &Fields) -> Option<String> {
    let subject = event.get("subject")?.as_object()?;
    job(state, subject, "job")
        .or_else(|| machine(state, read(subject, "machine")?))
        .or_else(|| user(state, read(subject, "rejoin")?))
}

fn attempt(state: &State, event: &Fields) -> Option<String> {
    let attempt = event.get("attempt")?.as_object()?;
    let (task, number) = (whole(attempt, "task")?, whole(attempt, "number")?);
    let job = job(state, attempt, "job")?;
    Some(format!("{job}.{task}, try {number}"))
}

fn job(state: &State, event: &Fields, field: &str) -> Option<String> {
    let id: JobId = read(event, field)?;
    let number = state.jobs.get(&id).map(|row| row.number.0);
    let number = number.or_else(|| whole(event, "number"))?;
    Some(format!("job {number}"))
}

fn machine(state: &State, id: MachineId) -> Option<String> {
    let row = state.machines.get(&id)?;
    Some(row.name.to_string())
}

/// A dataset's name, which outlives it in its entries.
fn dataset(state: &State, event: &Fields) -> Option<String> {
    let id: DatasetId = read(event, "dataset")?;
    let known = state.datasets.get(&id).map(|row| row.name.to_string());
    known.or_else(|| text(event, "name").map(str::to_owned))
}

/// What a request for approval is about.
fn asked_about(state: &State, event: &Fields) -> Option<String> {
    match read(event, "subject")? {
        ApprovalSubject::Machine(id) => machine(state, id),
        ApprovalSubject::Job(id) => Some(format!("job {}", state.jobs.get(&id)?.number)),
        ApprovalSubject::Rejoin(id) => Some(format!("{}, who comes back", user(state, id)?)),
    }
}

/// A secret's name, which outlives it in the entry of its end.
fn secret(state: &State, event: &Fields) -> Option<String> {
    let id: SecretId = read(event, "secret")?;
    let known = state.secrets.get(&id).map(|row| row.name.to_string());
    known.or_else(|| text(event, "name").map(str::to_owned))
}

fn device(state: &State, event: &Fields) -> Option<String> {
    let id: DeviceId = read(event, "device")?;
    let known = state.devices.get(&id).map(|row| row.name.to_string());
    let name = known.or_else(|| text(event, "name").map(str::to_owned));
    let whose = user(state, read(event, "user")?)?;
    Some(match name {
        Some(name) => format!("{name} of {whose}"),
        None => format!("a device of {whose}"),
    })
}

fn token(state: &State, event: &Fields) -> Option<String> {
    let id: TokenId = read(event, "token")?;
    let name = text(event, "name").map_or_else(|| token_name(state, id), str::to_owned);
    let whose = state.tokens.get(&id).map(|row| row.user);
    let whose = whose.or_else(|| read(event, "user"));
    Some(match whose.and_then(|id| user(state, id)) {
        Some(handle) => format!("token {name} of {handle}"),
        None => format!("token {name}"),
    })
}

/// Returns a token's name, or its id where it is forgotten.
fn token_name(state: &State, id: TokenId) -> String {
    let row = state.tokens.get(&id);
    row.map_or_else(|| id.to_string(), |row| row.name.to_string())
}

fn project(state: &State, event: &Fields) -> Option<String> {
    let id: ProjectId = read(event, "project")?;
    let name = &state.projects.get(&id)?.name;
    Some(match read(event, "user").and_then(|id| user(state, id)) {
        Some(handle) => format!("{handle} in {name}"),
        None => name.to_string(),
    })
}

fn user(state: &State, id: UserId) -> Option<String> {
    let row = state.users.get(&id)?;
    Some(row.handle.to_string())
}

fn invitation(state: &State, event: &Fields) -> Option<String> {
    let id: InvitationId = read(event, "invitation")?;
    let whose = read(event, "user").and_then(|id| user(state, id));
    let login = text(event, "purpose") == Some("Login");
    let known = || state.invitations.get(&id)?.invitee.clone();
    let guest = match read(event, "invitee").or_else(known) {
        Some(Guest::Email(address)) => Some(address),
        Some(Guest::User(_)) | None => None,
    };
    Some(match (whose, guest) {
        (Some(handle), _) if login => format!("{handle}, who may sign in by {id}"),
        (Some(handle), _) => format!("{handle}, by invitation {id}"),
        (None, Some(address)) => format!("invitation {id} for {address}"),
        (None, None) => format!("invitation {id}"),
    })
}

/// A certificate's.
fn holder(state: &State, event: &Fields) -> Option<String> {
    let holder = match read(event, "holder") {
        Some(holder) => holder,
        None => state.certificates.get(&read(event, "serial")?)?.holder,
    };
    match holder {
        Holder::User(id) => Some(format!("a device of {}", user(state, id)?)),
        Holder::Machine(id) => machine(state, id),
    }
}

/// Returns what was before and after, where the event says it; otherwise why, how, where, or as what.
fn change(state: &State, event: &Fields) -> Option<String> {
    if let Some(after) = event.get("after") {
        let before = event.get("before").unwrap_or(&Value::Null);
        return Some(differences(state, before, after));
    }
    let reason = text(event, "reason").filter(|reason| !reason.is_empty());
    reason
        .map(str::to_owned)
        .or_else(|| text(event.get("outcome")?.as_object()?, "reason").map(str::to_owned))
        .or_else(|| {
            event.get("attempt")?;
            let on = machine(state, read(event, "machine")?)?;
            Some(format!("on {on}"))
        })
        .or_else(|| match text(event, "purpose") {
            Some("Login") if event.contains_key("reset") => {
                Some("sign-in link with a reset".to_owned())
            }
            Some("Login") => Some("sign-in link".to_owned()),
            _ => text(event, "role").map(|role| format!("as {role}")),
        })
        .or_else(|| text(event, "result").map(str::to_owned))
        .or_else(|| whole(event, "version").map(|version| format!("version {version}")))
}

/// Returns `before -> after`, of each field that differs where both have fields.
fn differences(state: &State, before: &Value, after: &Value) -> String {
    let (Value::Object(old), Value::Object(new)) = (before, after) else {
        return format!("{} -> {}", shown(state, before), shown(state, after));
    };
    let added = new.keys().filter(|key| !old.contains_key(*key));
    let keys = old.keys().chain(added);
    let changed = keys.filter_map(|key| {
        let (old, new) = (
            old.get(key).unwrap_or(&Value::Null),
            new.get(key).unwrap_or(&Value::Null),
        );
        (old != new).then(|| match (old, new) {
            (Value::Object(_), Value::Object(_)) => {
                format!("{key} ({})", differences(state, old, new))
            }
            _ => format!("{key}: {} -> {}", shown(state, old), shown(state, new)),
        })
    });
    changed.collect::<Vec<_>>().join(", ")
}

fn shown(state: &State, value: &Value) -> String {
    match value {
        Value::Object(fields) if fields.len() == 1 => {
            let verdict = fields
                .iter()
                .next()
                .and_then(|(word, of)| verdict(word, of));
            verdict.unwrap_or_else(|| value.to_string())
        }
        Value::Null => "none".to_owned(),
        Value::String(text) => named(state, value).unwrap_or_else(|| text.clone()),
        Value::Array(list) if list.is_empty() => "none".to_owned(),
        Value::Array(list) => {
            let list = list.iter().map(|one| shown(state, one));
            list.collect::<Vec<_>>().join(" and ")
        }
        other => other.to_string(),
    }
}

/// Returns the name of what an id is of.
fn named(state: &State, id: &Value) -> Option<String> {
    let project = || {
        Some(
            state
                .projects
                .get(&ProjectId::deserialize(id).ok()?)?
                .name
                .to_string(),
        )
    };
    let person = UserId::deserialize(id).ok().and_then(|id| user(state, id));
    person.or_else(project)
}

/// Returns an answer with its reason, or with the rule that gave it.
fn verdict(word: &str, decision: &Value) -> Option<String> {
    let by = decision.get("by")?;
    let rule = by.get("rule").and_then(Value::as_str);
    let reason = decision.get("reason").and_then(Value::as_str);
    Some(match (rule, reason.filter(|reason| !reason.is_empty())) {
        (Some(rule), _) => format!("{word} by the rule {rule:?}"),
        (None, Some(reason)) => format!("{word}: {reason}"),
        (None, None) => word.to_owned(),
    })
}

fn text<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    fields.get(name)?.as_str()
}

fn whole(fields: &Fields, name: &str) -> Option<u64> {
    fields.get(name)?.as_u64()
}

fn read<T: for<'de> Deserialize<'de>>(fields: &Fields, name: &str) -> Option<T> {
    T::deserialize(fields.get(name)?).ok()
}

fn short(words: String) -> String {
    match words.char_indices().nth(MAX_WORDS) {
        None => words,
        Some((end, _)) => format!("{}…", &words[..end]),
    }
}
