//! A list of steps that are all tried, each with its time, and the summary at the end.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// What became of a step.
#[derive(Debug)]
pub(crate) enum Outcome {
    Passed,
    /// Nothing was checked, and why.
    Skipped(String),
    Failed(anyhow::Error),
}

#[derive(Debug)]
struct Step {
    name: &'static str,
    outcome: Outcome,
    took: Duration,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<Step>,
}

impl Steps {
    /// Runs one step; a failure is kept for the summary, so that the steps after it still say what they know.
    pub(crate) fn step(&mut self, name: &'static str, work: impl FnOnce() -> Result<Outcome>) {
        println!("\n== {name}");
        let start = Instant::now();
        let outcome = work().unwrap_or_else(Outcome::Failed);
        match &outcome {
            Outcome::Passed => {}
            Outcome::Skipped(reason) => println!("skipped: {reason}"),
            Outcome::Failed(error) => println!("failed: {error:#}"),
        }
        self.done.push(Step {
            name,
            outcome,
            took: start.elapsed(),
        });
    }

    /// Prints what became of every step.
    ///
    /// # Errors
    /// At least one failed.
    pub(crate) fn finish(self) -> Result<()> {
        println!("\n== summary");
        let mut counts = [0; 3];
        for step in &self.done {
            let (index, word, note) = match &step.outcome {
                Outcome::Passed => (0, "passed", String::new()),
                Outcome::Failed(error) => (1, "FAILED", format!("  {error:#}")),
                Outcome::Skipped(reason) => (2, "skipped", format!("  {reason}")),
            };
            counts[index] += 1;
            let seconds = step.took.as_secs_f64();
            println!("{word:<7}  {:<16} {seconds:>7.1} s{note}", step.name);
        }
        let [passed, failed, skipped] = counts;
        println!("steps: {passed} passed, {failed} failed, {skipped} skipped");
        if failed > 0 {
            bail!("{failed} of {} steps failed", self.done.len());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn one_failure_fails_the_whole_and_stops_nothing() {
        let mut steps = Steps::default();
        let mut reached = false;
        steps.step("first", || Err(anyhow!("broken")));
        steps.step("second", || {
            reached = true;
            Ok(Outcome::Passed)
        });
        assert!(reached);
        assert_eq!(
            steps.finish().unwrap_err().to_string(),
            "1 of 2 steps failed"
        );
    }

    #[test]
    fn what_was_skipped_is_no_failure() {
        let mut steps = Steps::default();
        steps.step("only", || Ok(Outcome::Skipped("not here".to_owned())));
        assert!(steps.finish().is_ok());
    }
}
