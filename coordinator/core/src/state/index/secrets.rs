//! Secrets by whose they are and by name.

use common::id::{OrgId, SecretId};

use super::Index;
use crate::state::secret::Secret;

impl Index {
    pub(crate) fn secret_in(&mut self, id: SecretId, secret: &Secret) {
        let scope = (secret.org, secret.project);
        let names = self.secret_names.entry(scope).or_default();
        names.insert(secret.name.clone(), id);
    }

    pub(crate) fn secret_out(&mut self, secret: &Secret) {
        let scope = (secret.org, secret.project);
        if let Some(names) = self.secret_names.get_mut(&scope) {
            names.remove(&secret.name);
            if names.is_empty() {
                self.secret_names.remove(&scope);
            }
        }
    }

    /// Returns how many secrets the org and its projects have.
    pub(crate) fn secrets_in(&self, org: OrgId) -> usize {
        let scopes = self.secret_names.range((org, None)..);
        let own = scopes.take_while(|((of, _), _)| *of == org);
        own.map(|(_, names)| names.len()).sum()
    }
}
