//! What was found of one thing, and all of it together.

use serde::Serialize;

use super::super::{
    amounts::counted,
    escape,
    output::{BOLD, DIM, GREEN, RED, YELLOW},
};

/// How one thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Ok,
    /// It works, and could work better.
    Better,
    /// As long as it is so, the machine cannot lend.
    Missing,
    /// It cannot be told here.
    Unknown,
}

/// What was found of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) verdict: Verdict,
    pub(super) text: String,
    /// The command, or what else to do.
    pub(super) remedy: Option<String>,
}

impl Finding {
    pub(super) fn new(check: &'static str, verdict: Verdict, text: impl Into<String>) -> Self {
        Self {
            check,
            verdict,
            text: text.into(),
            remedy: None,
        }
    }

    pub(super) fn ok(check: &'static str, text: impl Into<String>) -> Self {
        Self::new(check, Verdict::Ok, text)
    }

    pub(super) fn better(check: &'static str, text: impl Into<String>) -> Self {
        Self::new(check, Verdict::Better, text)
    }

    pub(super) fn missing(check: &'static str, text: impl Into<String>) -> Self {
        Self::new(check, Verdict::Missing, text)
    }

    pub(super) fn unknown(check: &'static str, text: impl Into<String>) -> Self {
        Self::new(check, Verdict::Unknown, text)
    }

    #[must_use]
    pub(super) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    #[must_use]
    pub(super) fn remedy_if_any(mut self, remedy: Option<String>) -> Self {
        self.remedy = remedy;
        self
    }
}

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Diagnosis {
    pub(super) can_lend: bool,
    pub(super) findings: Vec<Finding>,
}

impl Diagnosis {
    pub(super) fn of(findings: Vec<Finding>) -> Self {
        Self {
            can_lend: findings.iter().all(|one| one.verdict != Verdict::Missing),
            findings,
        }
    }

    /// Returns what could be better or has to be.
    pub(super) fn unwell(&self) -> impl Iterator<Item = &Finding> {
        let unwell = |one: &&Finding| matches!(one.verdict, Verdict::Better | Verdict::Missing);
        self.findings.iter().filter(unwell)
    }

    pub(super) fn to_text(&self) -> String {
        let lines: String = self.findings.iter().map(line).collect();
        let missing: Vec<&str> = self
            .findings
            .iter()
            .filter(|one| one.verdict == Verdict::Missing)
            .map(|one| one.check)
            .collect();
        let better = self.unwell().count() - missing.len();
        let mut verdict = match missing.as_slice() {
            [] => "This machine can lend.".to_owned(),
            _ => format!("This machine cannot lend yet: {}.", missing.join(", ")),
        };
        if better > 0 {
            let things = counted(better as u64, "thing");
            verdict += &format!(" {things} would make it a better one.");
        }
        format!("{lines}\n{BOLD}{verdict}{BOLD:#}\n")
    }
}

/// Widest name of a check.
const CHECK_WIDTH: usize = 16;

/// Returns the verdict, the check, what was found, and below it what to do.
fn line(finding: &Finding) -> String {
    let (style, word) = match finding.verdict {
        Verdict::Ok => (GREEN, "ok"),
        Verdict::Better => (YELLOW, "better"),
        Verdict::Missing => (RED, "missing"),
        Verdict::Unknown => (DIM, "unknown"),
    };
    let mut texts = finding.text.lines().map(escape::line);
    let first = texts.next().unwrap_or_default();
    let mut lines = format!(
        "{style}{word:7}{style:#}  {:CHECK_WIDTH$}  {first}\n",
        finding.check
    );
    let indent = 7 + 2 + CHECK_WIDTH + 2;
    for text in texts {
        lines += &format!("{:indent$}{text}\n", "");
    }
    for remedy in finding.remedy.iter().flat_map(|remedy| remedy.lines()) {
        lines += &format!("{:indent$}{BOLD}{}{BOLD:#}\n", "", escape::line(remedy));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Vec<Finding> {
        vec![
            Finding::ok("isolation", "level a"),
            Finding::better("gVisor", "not installed").remedy("sudo apt-get install runsc"),
            Finding::unknown("presence", "cannot tell here\u{1b}[2J"),
        ]
    }

    #[test]
    fn every_finding_is_a_line_and_its_remedy_another() {
        let text = anstream::adapter::strip_str(&Diagnosis::of(findings()).to_text()).to_string();
        assert_eq!(
            text,
            "ok       isolation         level a\n\
             better   gVisor            not installed\n                           \
             sudo apt-get install runsc\n\
             unknown  presence          cannot tell here\\u{1b}[2J\n\n\
             This machine can lend. 1 thing would make it a better one.\n"
        );
    }

    #[test]
    fn one_missing_thing_keeps_a_machine_from_lending() {
        let mut all = findings();
        all.push(Finding::missing("disk", "full"));
        let diagnosis = Diagnosis::of(all);
        assert!(!diagnosis.can_lend);
        let text = anstream::adapter::strip_str(&diagnosis.to_text()).to_string();
        assert!(
            text.contains("This machine cannot lend yet: disk. 1 thing"),
            "{text}"
        );
        let unwell: Vec<&str> = diagnosis.unwell().map(|one| one.check).collect();
        assert_eq!(unwell, ["gVisor", "disk"]);
        let json = serde_json::to_value(&diagnosis).unwrap();
        assert_eq!(json["findings"][3]["verdict"], "missing");
    }
}
