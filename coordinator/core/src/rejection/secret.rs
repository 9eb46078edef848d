//! What is said no to about secrets.

use common::{
    code::Code,
    problem::Problem,
    secret::{MAX_SECRETS, MAX_USERS, MAX_VALUE_BYTES, SecretName},
};

use super::Rejection;

/// Why a command about a secret, or a job that names one, changes nothing. Says nothing of any value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretRejection {
    NoSuch {
        name: SecretName,
    },
    /// It opens a registry and is no variable.
    NotAVariable {
        name: SecretName,
    },
    TooManySecrets,
    TooManyUsers {
        name: SecretName,
    },
    ValueEmpty,
    ValueTooLong,
    /// A variable cannot hold it.
    ValueNotText,
    /// It was sealed for another coordinator, org or name.
    ValueNotOurs,
    /// It is for a registry and does not say how to open that one.
    ValueNoLogin,
}

impl SecretRejection {
    pub(super) fn problem(self) -> Problem {
        let not_set = "cannot set this secret";
        let value = |why: String| Problem::new(Code::BadRequest, not_set, why);
        match self {
            Self::NoSuch { name } => Problem::new(
                Code::NotFound,
                format!("no secret {name}"),
                "there is none of this name that your job may use",
            )
            .help("`compute-share secret list` lists those that you may use."),
            Self::NotAVariable { name } => Problem::new(
                Code::BadRequest,
                format!("cannot give secret {name} to a job"),
                "it opens a registry and is no variable",
            )
            .help("Leave it out: it is used by itself for images of that registry."),
            Self::TooManySecrets => Problem::new(
                Code::Limit,
                "cannot have one more secret",
                format!("an org has at most {MAX_SECRETS}, those of its projects included"),
            )
            .help("Delete one that is not used any more."),
            Self::TooManyUsers { name } => Problem::new(
                Code::Limit,
                format!("cannot let one more use secret {name}"),
                format!("a secret is for at most {MAX_USERS} members and as many projects by name"),
            )
            .help(format!(
                "Allow a project with them in it, or everyone: `compute-share secret allow {name} --everyone`."
            )),
            Self::ValueEmpty => value("it has no value".to_owned())
                .help("Write the value to standard input, or name a file with --from-file."),
            Self::ValueTooLong => value(format!(
                "its value is longer than {MAX_VALUE_BYTES} bytes"
            ))
            .help("Keep long data as a dataset, and a key that opens it as the secret."),
            Self::ValueNotText => value("its value is no text that a variable can hold".to_owned())
                .help("Encode it, as with base64, and decode it in the job."),
            Self::ValueNotOurs => {
                value("it was sealed for another coordinator, org, project or name".to_owned())
                    .help("Set it again with this org's `compute-share secret set`.")
            }
            Self::ValueNoLogin => value("it does not say how to open that registry".to_owned())
                .help("Give --registry HOST and --user NAME, and the password as the value."),
        }
    }
}

impl From<SecretRejection> for Rejection {
    fn from(rejection: SecretRejection) -> Self {
        Self::Secret(rejection)
    }
}
