//! Arguments that make no command, said in the form of everything else that is refused. Help and versions stay as
//! the parser of arguments prints them.

use std::error::Error;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use common::{
    code::Code,
    problem::{Problem, code_of, shown},
};

/// Returns what is wrong with the arguments; `None` where help or the version is to be shown.
pub fn problem(error: &clap::Error) -> Option<Problem> {
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => None,
        ErrorKind::ValueValidation => {
            Some(bad_value(error).unwrap_or_else(|| not_understood(error)))
        }
        _ => Some(not_understood(error)),
    }
}

/// Returns whether the arguments ask for JSON, as far as can be told of some that were not understood; `long` is the
/// option's long name, as in `--format`.
pub fn want_json(arguments: impl Iterator<Item = String>, long: &str) -> bool {
    let words: Vec<String> = arguments.take_while(|word| word != "--").collect();
    let pairs = words.windows(2);
    let mut apart = pairs.map(|pair| (pair[0].as_str(), pair[1].as_str()));
    let joined = |word: &String| {
        let value = word.strip_prefix(long).or_else(|| word.strip_prefix("-o"));
        value.is_some_and(|value| value.strip_prefix('=').unwrap_or(value) == "json")
    };
    apart.any(|(option, value)| ["-o", long].contains(&option) && value == "json")
        || words.iter().any(joined)
}

/// A value that its own type does not take.
fn bad_value(error: &clap::Error) -> Option<Problem> {
    let cause = error.source()?;
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let argument = text(ContextKind::InvalidArg)?;
    let what = format!(
        "{} cannot be {argument}",
        shown(text(ContextKind::InvalidValue)?)
    );
    let code = code_of(cause).unwrap_or(Code::BadRequest);
    let general = code == Code::BadRequest;
    let problem = Problem::new(code, what, cause.to_string());
    Some(if general {
        problem.help(SEE_HELP)
    } else {
        problem
    })
}

const SEE_HELP: &str = "Add --help to the command to see what it takes.";

/// Everything else: what the parser says first is why, its hints and its usage line are what helps.
fn not_understood(error: &clap::Error) -> Problem {
    let text = error.to_string();
    let mut paragraphs = text
        .split("\n\n")
        .map(str::trim)
        .filter(|text| !text.is_empty());
    let first = paragraphs.next().unwrap_or_default();
    let mut help = vec![SEE_HELP.to_owned()];
    for paragraph in paragraphs {
        let hint = paragraph.strip_prefix("tip: ");
        if let Some(hint) = hint {
            help.push(format!("Hint: {hint}."));
        } else if paragraph.starts_with("Usage:") {
            help.push(paragraph.to_owned());
        }
    }
    let why = first.strip_prefix("error: ").unwrap_or(first);
    Problem::new(Code::BadRequest, "the command was not understood", why).help(help.join("\n"))
}

#[cfg(test)]
mod tests {
    use clap::{Arg, Command, value_parser};
    use common::{name::Name, status::Role};

    use super::*;

    fn parse(words: &[&str]) -> Option<Problem> {
        let command = Command::new("share")
            .version("1")
            .arg(
                Arg::new("name")
                    .value_name("NAME")
                    .value_parser(|text: &str| text.parse::<Name>()),
            )
            .arg(
                Arg::new("role")
                    .long("role")
                    .value_parser(|text: &str| text.parse::<Role>()),
            )
            .arg(
                Arg::new("count")
                    .long("count")
                    .value_parser(value_parser!(u8)),
            );
        let words = std::iter::once("share").chain(words.iter().copied());
        problem(&command.try_get_matches_from(words).unwrap_err())
    }

    #[track_caller]
    fn check(words: &[&str], code: &Code, what: &str, why: &str) -> Problem {
        let problem = parse(words).unwrap();
        assert_eq!((&problem.code, &*problem.what), (code, what), "{problem:?}");
        assert!(problem.why.contains(why), "{problem:?}");
        problem
    }

    #[test]
    fn what_is_wrong_with_an_argument_has_our_form() {
        let name = check(
            &["l\u{430}b"],
            &Code::BadName,
            "\"l<U+0430>b\" cannot be [NAME]",
            "found U+0430",
        );
        assert_eq!(name.help, Code::BadName.help());
        check(
            &["--role", "boss"],
            &Code::NoSuchRole,
            "\"boss\" cannot be --role <role>",
            "\"boss\" is not one of member, admin, owner",
        );
        let number = check(
            &["--count", "many"],
            &Code::BadRequest,
            "\"many\" cannot be --count <count>",
            "invalid digit",
        );
        assert_eq!(number.help, SEE_HELP);
        let typo = check(
            &["--rule", "admin"],
            &Code::BadRequest,
            "the command was not understood",
            "unexpected argument '--rule' found",
        );
        assert_eq!(
            typo.help,
            format!(
                "{SEE_HELP}\nHint: a similar argument exists: '--role'.\nUsage: share --role <role> [NAME]"
            )
        );
        assert_eq!(parse(&["--help"]), None);
        assert_eq!(parse(&["--version"]), None);
    }

    #[test]
    fn json_is_found_in_what_was_not_understood() {
        let asked = |line: &str| want_json(line.split(' ').map(str::to_owned), "--format");
        for line in [
            "x -o json",
            "x -ojson y",
            "x --format=json",
            "x --format json",
            "-o=json x",
        ] {
            assert!(asked(line), "{line}");
        }
        for line in ["x -o human", "x json", "run -- -o json", "x --output json"] {
            assert!(!asked(line), "{line}");
        }
    }
}
