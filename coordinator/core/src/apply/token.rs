//! API tokens.

use crate::{
    event::token::TokenEvent,
    state::{State, account::Token},
};

pub(super) fn apply(state: &mut State, event: &TokenEvent) {
    match event {
        TokenEvent::TokenCreated {
            token,
            org,
            user,
            name,
            scope,
            digest,
            at,
            expires_at,
        } => {
            let row = Token {
                user: *user,
                org: *org,
                name: name.clone(),
                scope: *scope,
                digest: *digest,
                created_at: *at,
                expires_at: *expires_at,
                last_used_at: None,
                revoked_at: None,
            };
            state.index.token_in(*token, &row);
            state.tokens.insert(*token, row);
        }
        TokenEvent::TokenUsed { token, at, .. } => {
            if let Some(row) = state.tokens.get_mut(token) {
                row.last_used_at = Some(*at);
            }
        }
        TokenEvent::TokenRevoked { token, at, .. } => {
            if let Some(row) = state.tokens.get_mut(token) {
                row.revoked_at = Some(*at);
            }
        }
        TokenEvent::TokenForgotten { token, .. } => {
            if let Some(row) = state.tokens.remove(token) {
                state.index.token_out(*token, &row);
            }
        }
    }
}
