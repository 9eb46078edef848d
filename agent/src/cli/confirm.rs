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
                consequence,
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
