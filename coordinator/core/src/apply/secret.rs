//! Secrets.

use crate::{
    event::secret::SecretEvent,
    state::{
        State,
        secret::{Secret, SecretUsers},
    },
};

pub(super) fn apply(state: &mut State, event: &SecretEvent) {
    match event {
        SecretEvent::SecretSet {
            secret,
            org,
            project,
            name,
            kind,
            version,
            value,
            masked,
            by,
            at,
        } => {
            let before = state.secrets.get(secret);
            let row = Secret {
                org: *org,
                project: *project,
                name: name.clone(),
                kind: kind.clone(),
                version: *version,
                value: value.clone(),
                masked: *masked,
                set_by: *by,
                set_at: *at,
                users: before.map_or_else(SecretUsers::default, |row| row.users.clone()),
            };
            state.index.secret_in(*secret, &row);
            state.secrets.insert(*secret, row);
        }
        SecretEvent::SecretUsersChanged { secret, after, .. } => {
            if let Some(row) = state.secrets.get_mut(secret) {
                row.users.clone_from(after);
            }
        }
        SecretEvent::SecretDeleted { secret, .. } => {
            if let Some(row) = state.secrets.remove(secret) {
                state.index.secret_out(&row);
            }
        }
    }
}
