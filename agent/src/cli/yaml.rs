//! Reading the YAML files that people write: the one place that names the YAML crate.
//!
//! A file becomes a plain value first and is then taken apart key by key, so that every complaint names the
//! key's whole path and, for an unknown key, the nearest known one.

use std::path::Path;

use common::{
    code::Code,
    problem::{Problem, code_of, shown},
};
use serde_json::{Map, Value};

/// Longest file; hand-written ones are far below.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Most differing letters between a mistyped key and the one that is suggested.
const MAX_TYPOS: usize = 3;

/// Why a file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FileError {
    #[error("cannot be read: {0}")]
    Read(String),
    #[error("is longer than {MAX_FILE_BYTES} bytes")]
    TooLong,
    #[error("{0}")]
    Syntax(String),
    #[error("{} is there twice{}", key.as_deref().map_or("a key".to_owned(), shown), at(*.line))]
    DuplicateKey {
        key: Option<String>,
        line: Option<u64>,
    },
    /// An anchor inside itself, or a name of one that is nowhere.
    #[error("{text}{}", at(*.line))]
    Reference {
        text: &'static str,
        line: Option<u64>,
    },
    #[error("unknown key `{key}`{}", nearest.map(|key| format!("; did you mean `{key}`?")).unwrap_or_default())]
    UnknownKey {
        key: String,
        nearest: Option<&'static str>,
    },
    #[error("`{key}` does not belong here: {home}")]
    Misplaced { key: String, home: &'static str },
    #[error("`{key}`: {text}")]
    Value {
        key: String,
        text: String,
        /// Where what is wrong with it has one of its own.
        code: Option<Code>,
    },
}

/// Says where in the file.
fn at(line: Option<u64>) -> String {
    line.map(|line| format!(" (line {line})"))
        .unwrap_or_default()
}

impl FileError {
    /// Returns its own code, for a file of settings.
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::UnknownKey { .. } | Self::Misplaced { .. } => Code::UnknownKey,
            Self::DuplicateKey { .. } => Code::DuplicateKey,
            Self::Reference { .. } => Code::SelfReference,
            Self::Value {
                code: Some(code), ..
            } => code.clone(),
            Self::Read(_) => Code::Io,
            _ => Code::Config,
        }
    }

    /// Makes the problem that a person is told about the file at `path`.
    pub(crate) fn into_problem(self, code: Code, path: &Path) -> Problem {
        let what = format!("{} cannot be used", path.display());
        Problem::new(code, what, self.to_string())
    }
}

/// Reads the file's text.
pub(crate) fn read(path: &Path) -> Result<String, FileError> {
    let unreadable = |error: std::io::Error| FileError::Read(error.to_string());
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if metadata.len() > MAX_FILE_BYTES {
        return Err(FileError::TooLong);
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

/// Reads a text whose outermost value is a map.
pub(crate) fn parse(text: &str) -> Result<Map<String, Value>, FileError> {
    let value: Value = serde_saphyr::from_str(text).map_err(|error| syntax(&error))?;
    match value {
        Value::Object(map) => Ok(map),
        Value::Null => Ok(Map::new()),
        _ => Err(FileError::Syntax(
            "expected keys and values, as in `name: train`".to_owned(),
        )),
    }
}

/// Says what is wrong in words of ours where the crate's are about its programmers.
fn syntax(error: &serde_saphyr::Error) -> FileError {
    use serde_saphyr::Error;
    let line = error.location().map(|location| location.line());
    let reference = |text| FileError::Reference { text, line };
    match error.without_snippet() {
        Error::DuplicateMappingKey { key, .. } => FileError::DuplicateKey {
            key: key.clone(),
            line,
        },
        Error::RecursiveReferencesRequireWeakTypes { .. } => {
            reference("an anchor (`&`) is used (`*`) inside itself")
        }
        Error::UnknownAnchor { .. } => {
            reference("`*` names an anchor (`&`) that is nowhere before it")
        }
        Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::AliasReplayCounterOverflow { .. } => {
            reference("anchors (`&`) repeat parts of the file too often")
        }
        Error::AliasError { error, .. } => syntax(error),
        Error::Budget { .. } => FileError::Syntax(format!(
            "it has too many values, or too many inside each other{}",
            at(line)
        )),
        _ => FileError::Syntax(error.to_string()),
    }
}

/// What is said of a key that stands at the top of a file about the org.
pub(crate) const UNDER_ORGANIZATION: &str = "it stands under `organization:`";

/// Refuses keys that are known to belong elsewhere, each with where.
pub(crate) fn keep_out(
    at: &str,
    map: &Map<String, Value>,
    homes: &[(&'static str, &'static str)],
) -> Result<(), FileError> {
    let fields = Fields::any(at, map);
    match homes.iter().find(|(key, _)| map.contains_key(*key)) {
        Some((key, home)) => Err(FileError::Misplaced {
            key: fields.path(key),
            home,
        }),
        None => Ok(()),
    }
}

/// The keys of one map, with where it stands in the file.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    at: String,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// Takes a map apart that may have only these keys.
    pub(crate) fn new(
        at: &str,
        map: &'a Map<String, Value>,
        known: &[&'static str],
    ) -> Result<Self, FileError> {
        let fields = Self {
            at: at.to_owned(),
            map,
        };
        for key in map.keys() {
            if !known.contains(&key.as_str()) {
                return Err(FileError::UnknownKey {
                    key: fields.path(key),
                    nearest: nearest(key, known),
                });
            }
        }
        Ok(fields)
    }

    /// Takes a map whose keys are not fixed.
    pub(crate) fn any(at: &str, map: &'a Map<String, Value>) -> Self {
        Self {
            at: at.to_owned(),
            map,
        }
    }

    /// Returns the key's value; a key without one counts as absent.
    pub(crate) fn value(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// Returns the key's value as a map.
    pub(crate) fn map(&self, key: &str) -> Result<Option<&'a Map<String, Value>>, FileError> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map)),
            Some(_) => Err(self.complain(key, "expected keys and values")),
        }
    }

    /// Returns a text or number as text, to be read by the type's own parser.
    pub(crate) fn parsed<T>(&self, key: &str) -> Result<Option<T>, FileError>
    where
        T: std::str::FromStr,
        T::Err: std::error::Error + 'static,
    {
        let Some(text) = self.text(key)? else {
            return Ok(None);
        };
        let parsed = text
            .parse()
            .map_err(|error: T::Err| self.wrong(key, &error))?;
        Ok(Some(parsed))
    }

    pub(crate) fn text(&self, key: &str) -> Result<Option<String>, FileError> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(_) => Err(self.complain(key, "expected a text or a number")),
        }
    }

    /// Returns a yes or no.
    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, FileError> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(self.complain(key, "expected true or false")),
        }
    }

    /// Returns a list of texts.
    pub(crate) fn texts(&self, key: &str) -> Result<Option<Vec<String>>, FileError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let items = value
            .as_array()
            .ok_or_else(|| self.complain(key, "expected a list"))?;
        let texts = items.iter().map(|item| match item {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) if !number.is_f64() => Ok(number.to_string()),
            _ => Err(self.complain(key, "expected a list of texts; write others in quotes")),
        });
        texts.collect::<Result<_, _>>().map(Some)
    }

    pub(crate) fn complain(&self, key: &str, text: &str) -> FileError {
        FileError::Value {
            key: self.path(key),
            text: text.to_owned(),
            code: None,
        }
    }

    /// Complains about a value that its own type does not take.
    pub(crate) fn wrong(&self, key: &str, error: &(dyn std::error::Error + 'static)) -> FileError {
        FileError::Value {
            key: self.path(key),
            text: error.to_string(),
            code: code_of(error),
        }
    }

    pub(crate) fn path(&self, key: &str) -> String {
        if self.at.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.at)
        }
    }
}

/// Returns the known key that was likely meant.
pub(crate) fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |candidate: &str| strsim::damerau_levenshtein(&key.to_lowercase(), candidate);
    let best = known
        .iter()
        .min_by_key(|candidate| distance(candidate))
        .copied()?;
    let prefix = best.starts_with(key) || key.starts_with(best);
    (prefix || distance(best) <= MAX_TYPOS.min(best.len() - 1)).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, code: &Code, expect: &str) {
        let error = parse(text).expect_err(text);
        assert_eq!(
            (&error.code(), &*error.to_string()),
            (code, expect),
            "{text}"
        );
    }

    #[test]
    fn what_yaml_itself_forbids_is_said_in_our_words() {
        check(
            "a: 1\nb: 2\na: 3\n",
            &Code::DuplicateKey,
            "\"a\" is there twice (line 3)",
        );
        check(
            "a: &x {b: *x}\n",
            &Code::SelfReference,
            "an anchor (`&`) is used (`*`) inside itself (line 1)",
        );
        check(
            "a: *x\n",
            &Code::SelfReference,
            "`*` names an anchor (`&`) that is nowhere before it (line 1)",
        );
        let laughs: String = (1..40)
            .map(|n| format!("a{n}: &a{n} [*a{0}, *a{0}, *a{0}, *a{0}]\n", n - 1))
            .collect();
        check(
            &format!("a0: &a0 [x]\n{laughs}"),
            &Code::Config,
            "it has too many values, or too many inside each other (line 1)",
        );
        assert_eq!(parse("a: &x 1\nb: *x\n").unwrap()["b"], 1);
    }
}
