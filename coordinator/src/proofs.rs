//! Looking at what users type in to show who they are: passwords (argon2id), codes of two-factor (RFC 6238), recovery
//! codes. What is right here is used up, and refused a second time, by the engine.

use std::sync::Arc;

use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc},
};
use common::{
    api::account::Proof as Offered, code::Code, id::UserId, name::Name, problem::Problem,
    seal::Sealed,
};
use coordinator_core::{
    Actor, Body,
    command::{
        Proof,
        account::{PasswordHash, TryProof},
    },
    query::account,
};
use tokio::sync::Semaphore;
use totp_rs::{Builder, Secret, Totp};
use zeroize::Zeroizing;

use crate::{
    desk::{Desk, blocking},
    mint,
};

/// Passwords that are hashed at the same moment: each takes a processor and 19 MiB for some tens of milliseconds.
const HASHED_AT_ONCE: usize = 2;
/// Shortest password, in characters. Nothing else is asked of one (NIST SP 800-63B, section 5.1.1.2).
const MIN_PASSWORD_CHARS: usize = 10;
/// Longest password, in bytes.
const MAX_PASSWORD_BYTES: usize = 1024;
/// Digits of a code, as every app knows.
const CODE_DIGITS: usize = 6;
/// Bytes of a two-factor secret (RFC 4226, section 4).
const SECRET_BYTES: usize = 20;
/// What apps show above the code.
const ISSUER: &str = "Compute Share";

/// How many passwords are hashed at the moment.
#[derive(Debug, Clone)]
pub(crate) struct Hashing(Arc<Semaphore>);

impl Default for Hashing {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(HASHED_AT_ONCE)))
    }
}

impl Hashing {
    /// Hashes a new password.
    ///
    /// # Errors
    /// It is too short or too long.
    pub(crate) async fn hash(&self, password: String) -> Result<PasswordHash, Problem> {
        let password = Zeroizing::new(password);
        if password.chars().count() < MIN_PASSWORD_CHARS || password.len() > MAX_PASSWORD_BYTES {
            let why = format!(
                "it takes at least {MIN_PASSWORD_CHARS} characters and at most {MAX_PASSWORD_BYTES} bytes"
            );
            return Err(Problem::new(
                Code::BadPassword,
                "the password was not set",
                why,
            ));
        }
        let hashed = self
            .run(move || Argon2::default().hash_password(password.as_bytes()))
            .await;
        let hashed = hashed.map_err(|error| {
            let why = error.to_string();
            Problem::new(Code::Internal, "the password cannot be hashed", why)
        })?;
        Ok(PasswordHash::new(hashed.to_string()))
    }

    /// Returns whether it is the password of this hash.
    async fn verify(&self, password: Zeroizing<String>, hash: &PasswordHash) -> bool {
        let Ok(hash) = phc::PasswordHash::new(hash.as_str()) else {
            return false;
        };
        if password.len() > MAX_PASSWORD_BYTES {
            return false;
        }
        let verify = move || Argon2::default().verify_password(password.as_bytes(), &hash);
        self.run(verify).await.is_ok()
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let permit = Arc::clone(&self.0).acquire_owned().await;
        blocking(move || {
            // Nobody closes the semaphore.
            let _permit = permit;
            work()
        })
        .await
    }
}

/// A two-factor secret as its user is shown it, once.
pub(crate) struct Fresh {
    pub(crate) uri: String,
    pub(crate) base32: String,
    pub(crate) sealed: Sealed,
}

impl Desk {
    /// Looks at what somebody has typed in to show that they are the user.
    ///
    /// # Errors
    /// It is wrong; too many were wrong, and this one was not looked at.
    pub(crate) async fn prove(&self, user: UserId, offered: Offered) -> Result<Proof, Problem> {
        self.try_proof(user).await?;
        let known = account::known(&self.engine.read(), user);
        match offered {
            Offered::Password(password) => {
                let password = Zeroizing::new(password);
                let Some(hash) = known.password else {
                    return Err(wrong_password("your account has none"));
                };
                if self.hashing.verify(password, &hash).await {
                    Ok(Proof::Password(hash))
                } else {
                    Err(wrong_password("it is not the one that is set now"))
                }
            }
            Offered::Code(code) => {
                let Some(secret) = known.secret else {
                    return Err(wrong_code("two-factor is not on"));
                };
                if !is_short(&code) {
                    let digest = mint::digest(&code);
                    let wrong = || wrong_code("it is neither six digits nor a recovery code");
                    return digest.map(Proof::Recovery).ok_or_else(wrong);
                }
                let step = self.matches(user, &secret, &code)?;
                Ok(Proof::Code { secret, step })
            }
        }
    }

    /// Checks the first code of a secret that was begun, and returns that secret and the code's step.
    ///
    /// # Errors
    /// It is wrong; nothing was begun; too many were wrong.
    pub(crate) async fn first_code(
        &self,
        user: UserId,
        code: &str,
    ) -> Result<(Sealed, u64), Problem> {
        self.try_proof(user).await?;
        let known = account::known(&self.engine.read(), user);
        let Some(secret) = known.begun else {
            return Err(wrong_code("two-factor setup was not begun"));
        };
        let step = self.matches(user, &secret, code)?;
        Ok((secret, step))
    }

    async fn try_proof(&self, user: UserId) -> Result<(), Problem> {
        let tried = Body::TryProof(TryProof { user });
        self.engine.ask(Actor::System, tried).await?;
        Ok(())
    }

    /// Returns the step whose code this is, now or next to now.
    fn matches(&self, user: UserId, sealed: &Sealed, code: &str) -> Result<u64, Problem> {
        let opened = self.sealing_key.unseal(&context(user), sealed);
        let opened = opened.map_err(|error| {
            let why = crate::store::chain(&error);
            Problem::new(Code::Io, "the code cannot be checked", why)
                .help("Use a recovery code, or ask whoever runs the coordinator to restore its sealing key.")
        })?;
        let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
        let totp = totp(&opened, None)?;
        let step = totp.check(&code, self.clock.system().unix_ms() / 1000);
        step.ok_or_else(|| wrong_code("it is not the code of now"))
    }

    /// Makes a two-factor secret.
    ///
    /// # Errors
    /// It cannot be sealed.
    pub(crate) fn fresh_secret(&self, user: UserId, handle: &Name) -> Result<Fresh, Problem> {
        let internal =
            |why: String| Problem::new(Code::Internal, "a two-factor secret cannot be made", why);
        let secret = Zeroizing::new(mint::random::<SECRET_BYTES>());
        let totp = totp(&*secret, Some(handle))?;
        let uri = totp.to_url().map_err(|error| internal(error.to_string()))?;
        let sealed = certs::seal(self.sealing_key.public(), &context(user), &*secret);
        Ok(Fresh {
            uri,
            base32: totp.secret().to_base32(),
            sealed: sealed.map_err(|error| internal(error.to_string()))?,
        })
    }
}

/// What a secret is sealed for: another user's does not open.
fn context(user: UserId) -> Vec<u8> {
    [b"two-factor ".as_slice(), user.as_bytes()].concat()
}

/// SHA-1, six digits, thirty seconds, one step to either side: what every app does without asking.
fn totp(secret: &[u8], handle: Option<&Name>) -> Result<Totp, Problem> {
    let builder = Builder::new()
        .with_secret(Secret::new(secret.into()))
        .with_skew(1)
        .with_issuer(Some(ISSUER))
        .with_account_name(handle.map_or("account", Name::as_str));
    builder.build().map_err(|error| {
        let why = error.to_string();
        Problem::new(Code::Internal, "the two-factor secret cannot be used", why)
    })
}

/// Returns whether it is written as a code of now and not as a recovery code.
fn is_short(code: &str) -> bool {
    let digits = || code.chars().filter(|c| !c.is_whitespace());
    digits().count() == CODE_DIGITS && digits().all(|c| c.is_ascii_digit())
}

fn wrong_password(why: &str) -> Problem {
    Problem::new(Code::WrongPassword, "the password is not right", why)
}

fn wrong_code(why: &str) -> Problem {
    Problem::new(Code::TwoFactorWrong, "the code is not right", why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_known_again_and_no_other() {
        let hashing = Hashing::default();
        let short = hashing.hash("too short".to_owned()).await;
        assert_eq!(short.unwrap_err().code, Code::BadPassword);
        let long = hashing.hash("x".repeat(MAX_PASSWORD_BYTES + 1)).await;
        assert_eq!(long.unwrap_err().code, Code::BadPassword);
        let hash = hashing.hash("correct horse".to_owned()).await.unwrap();
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(!format!("{hash:?}").contains("argon2"));
        let other = hashing.hash("correct horse".to_owned()).await.unwrap();
        assert_ne!(hash, other, "each has a salt of its own");
        let verify = |text: &str| hashing.verify(Zeroizing::new(text.to_owned()), &hash);
        assert!(verify("correct horse").await);
        assert!(!verify("correct horsf").await);
        assert!(!verify("").await);
    }

    #[test]
    fn codes_are_those_of_rfc_6238() {
        // Appendix B, cut to six digits.
        let totp = totp(b"12345678901234567890", None).unwrap();
        assert_eq!(totp.generate(59).to_string(), "287082");
        assert_eq!(totp.generate(1_111_111_109).to_string(), "081804");
        assert_eq!(totp.check("287082", 59), Some(1));
        // One step to either side, no more.
        assert_eq!(totp.check("287082", 89), Some(1));
        assert_eq!(totp.check("287082", 121), None);
        assert!(is_short("287 082") && !is_short("2870821") && !is_short("AAAA-BBBB-CCCC"));
    }
}
