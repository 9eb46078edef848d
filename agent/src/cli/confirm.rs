//! Asking before something is destroyed.

use std::io::IsTerminal;

use common::{code::Code, problem::Problem};

/// Whether people are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consent {
    /// `--yes` was given.
    Given,
    Ask,
}

impl Consent {
    /// Asks for a name to be typed, and returns what was; whether it is the right one is the coordinator's to say.
    ///
    /// # Errors
    /// There is no terminal to ask on, and nothing was `given`.
    pub(crate) fn typed(
        self,
        what: &str,
        consequence: &str,
        given: Option<String>,
    ) -> Result<String, Problem> {
        if let Some(given) = given {
            return Ok(given);
        }
        if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
            let what = format!("{what} needs the org's name to be typed");
            let problem = Problem::new(Code::ConfirmationNeeded, what, plain(consequence));
            return Err(problem.help("Add --confirm NAME."));
        }
        let asked = dialoguer::Input::<String>::new();
        let asked = asked.with_prompt(format!("{consequence}\nType the org's name to go on"));
        let typed = asked.allow_empty(true).interact_text();
        typed.map_err(|error| Problem::new(Code::Io, "cannot ask", error.to_string()))
    }

    /// Asks whether to go on; `consequence` is a sentence that says what will be gone.
    ///
    /// # Errors
    /// The answer is no, or there is no terminal to ask on.
    pub(crate) fn obtain(self, what: &str, consequence: &str) -> Result<(), Problem> {
        if self == Self::Given {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
            return Err(Problem::new(
                Code::ConfirmationNeeded,
                format!("{what} needs a yes"),
                plain(consequence),
            ));
        }
        let asked = dialoguer::Confirm::new().with_prompt(format!("{consequence} Go on?"));
        match asked.default(false).interact() {
            Ok(true) => Ok(()),
            Ok(false) => Err(Problem::new(
                Code::Cancelled,
                format!("{what} was not done"),
                "the answer was no",
            )),
            Err(error) => Err(Problem::new(Code::Io, "cannot ask", error.to_string())),
        }
    }
}

/// Returns the text without what a terminal would make bold: a problem is told to programs, too.
fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}
