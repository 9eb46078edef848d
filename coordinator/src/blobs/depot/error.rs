//! Why a bucket could not be used, in words that hold nothing of what its server said but a status and a code: whoever
//! names a server is not to read others' pages through the coordinator.

use std::{error::Error, fmt, io, time::Duration};

use common::{code::Code, org::storage::S3Place, problem::Problem};

/// Longest code of a server that is shown.
const MAX_CODE_BYTES: usize = 64;

/// Why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum DepotError {
    /// The org's keys cannot be had.
    Keys(Box<Problem>),
    /// With the server's code, where it gave one.
    Refused(String),
    NoBucket,
    /// With what went wrong.
    Unreachable(String),
    /// Nothing came for so long.
    Silent(Duration),
    /// What was written is not what was read.
    Unreliable,
    /// Its server sends more than was asked for.
    TooMuch,
    /// Another store's marker is there.
    Taken,
    /// The store's marker is not there.
    Unmarked,
    /// The client cannot be made.
    Unusable,
}

/// What is wrong with an answer, below the client: among the sources of its error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error("more came than was asked for")]
    TooMuch,
    #[error("nothing came within {} s", .0.as_secs())]
    Silent(Duration),
}

impl From<Unfit> for object_store::Error {
    fn from(error: Unfit) -> Self {
        Self::Generic {
            store: "S3",
            source: Box::new(error),
        }
    }
}

/// [`DepotError`], and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct AtPlace {
    bucket: String,
    error: DepotError,
}

impl DepotError {
    pub(super) fn at(self, place: &S3Place) -> AtPlace {
        AtPlace {
            bucket: format!("s3://{}", place.bucket),
            error: self,
        }
    }
}

impl AtPlace {
    /// Returns whether an operation failed because the bucket could not be used.
    pub(in super::super) fn is_in(error: &io::Error) -> bool {
        Self::of(error).is_some()
    }

    /// Returns whether an operation failed because the place is nobody's.
    pub(super) fn is_unmarked(error: &io::Error) -> bool {
        Self::of(error).is_some_and(|at| at.error == DepotError::Unmarked)
    }

    fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// Returns what a person is told, who wanted `what`; `None` where it is no error of a bucket.
    pub(in super::super) fn problem(error: &io::Error, what: &str) -> Option<Problem> {
        let at = Self::of(error)?;
        let code = match &at.error {
            DepotError::Keys(problem) => {
                let problem = (**problem).clone();
                return Some(Problem::new(problem.code, what, problem.why).help(problem.help));
            }
            DepotError::Refused(_) => Code::StorageRefused,
            DepotError::Taken | DepotError::Unmarked => Code::StorageForeign,
            _ => Code::StorageUnreachable,
        };
        let problem = Problem::new(code, what, at.to_string());
        Some(match &at.error {
            DepotError::NoBucket => problem
                .help("Make the bucket, or have the org's owner correct its storage setting."),
            DepotError::Unmarked => problem
                .help("Have the bucket be what it was. Where what it had is lost, have the org's owner set the same storage once more: what is missing is then found by the next look and comes with the next upload."),
            _ => problem,
        })
    }
}

impl fmt::Display for AtPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bucket = &self.bucket;
        match &self.error {
            DepotError::Keys(problem) => write!(f, "{bucket} cannot be opened: {}", problem.why),
            DepotError::Refused(code) => write!(f, "{bucket} refuses the org's keys ({code})"),
            DepotError::NoBucket => write!(f, "there is no bucket {bucket}"),
            DepotError::Unreachable(why) => write!(f, "{bucket} cannot be reached: {why}"),
            DepotError::Silent(limit) => {
                write!(f, "{bucket} has not answered within {} s", limit.as_secs())
            }
            DepotError::Unreliable => {
                write!(f, "{bucket} does not return what was written to it")
            }
            DepotError::TooMuch => {
                write!(f, "the server of {bucket} sends more than it was asked for")
            }
            DepotError::Taken => write!(f, "{bucket} has the data of another store there"),
            DepotError::Unmarked => write!(
                f,
                "{bucket} is not what it was: the mark of the org's store is not there"
            ),
            DepotError::Unusable => write!(f, "{bucket} cannot be used with these settings"),
        }
    }
}

impl Error for AtPlace {}

/// Says what an answer means to whoever thinks of a disk.
pub(super) fn of_request(
    error: &object_store::Error,
    failed: impl FnOnce(DepotError) -> io::Error,
) -> io::Error {
    let causes = std::iter::successors(Some(error as &dyn Error), |&error| error.source());
    match causes.filter_map(|cause| cause.downcast_ref()).last() {
        Some(Unfit::TooMuch) => return failed(DepotError::TooMuch),
        Some(Unfit::Silent(limit)) => return failed(DepotError::Silent(*limit)),
        None => {}
    }
    let text = error.to_string();
    let code = server_code(&text);
    if code.as_deref() == Some("NoSuchBucket") {
        return failed(DepotError::NoBucket);
    }
    match error {
        object_store::Error::NotFound { .. } => io::ErrorKind::NotFound.into(),
        object_store::Error::PermissionDenied { .. }
        | object_store::Error::Unauthenticated { .. } => failed(DepotError::Refused(
            code.unwrap_or_else(|| "Forbidden".to_owned()),
        )),
        _ if code.as_deref() == Some("InvalidRange") || status(&text) == Some(416) => {
            io::ErrorKind::UnexpectedEof.into()
        }
        _ => failed(DepotError::Unreachable(why(error, code, status(&text)))),
    }
}

fn why(error: &object_store::Error, code: Option<String>, status: Option<u16>) -> String {
    if let Some(code) = code {
        return format!("its server says {code}");
    }
    if let Some(status) = status {
        return format!("its server answers with status {status}");
    }
    let causes = std::iter::successors(Some(error as &dyn Error), |&error| error.source());
    let system = causes
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .last();
    match system {
        Some(error) if error.raw_os_error().is_some() => error.to_string(),
        // Of TLS and of names; neither holds what a server sent as its content.
        Some(error) => format!("{} ({:?})", "no connection to its server", error.kind()),
        None => "no usable answer came from its server".to_owned(),
    }
}

/// Returns the code in an S3 server's answer.
fn server_code(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    let plain = code.len() <= MAX_CODE_BYTES && code.chars().all(|c| c.is_ascii_alphanumeric());
    (plain && !code.is_empty()).then(|| code.to_owned())
}

fn status(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(error: &object_store::Error) -> String {
        let place = S3Place {
            bucket: "data".to_owned(),
            prefix: String::new(),
            region: None,
            endpoint: None,
        };
        of_request(error, |error| io::Error::other(error.at(&place))).to_string()
    }

    fn generic(text: &str) -> object_store::Error {
        object_store::Error::Generic {
            store: "S3",
            source: text.into(),
        }
    }

    #[test]
    fn what_a_server_says_is_told_by_its_code_alone() {
        let path = String::new;
        let lost = |text: &str| object_store::Error::NotFound {
            path: path(),
            source: text.into(),
        };
        let bucket = told(&lost("<Error><Code>NoSuchBucket</Code></Error>"));
        assert_eq!(bucket, "there is no bucket s3://data");
        let object = of_request(&lost("<Code>NoSuchKey</Code>"), |_| unreachable!());
        assert_eq!(object.kind(), io::ErrorKind::NotFound);
        let refused = object_store::Error::PermissionDenied {
            path: path(),
            source: "<Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>AKID</AWSAccessKeyId>"
                .into(),
        };
        assert_eq!(
            told(&refused),
            "s3://data refuses the org's keys (SignatureDoesNotMatch)"
        );
        for (said, told_of_it) in [
            (
                "<Code>SlowDown</Code> secret page",
                "its server says SlowDown",
            ),
            (
                "Server returned non-2xx status code: 502 Bad Gateway: secret page",
                "its server answers with status 502",
            ),
            (
                "<Code>a secret page</Code>",
                "no usable answer came from its server",
            ),
        ] {
            let told = told(&generic(said));
            assert!(told.ends_with(told_of_it), "{told}");
        }
        let short = generic("Server returned non-2xx status code: 416 Range Not Satisfiable: ");
        let short = of_request(&short, |_| unreachable!());
        assert_eq!(short.kind(), io::ErrorKind::UnexpectedEof);
    }
}
