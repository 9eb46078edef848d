//! The targets and what was measured of each: ours, the floor beside it, how they compare, and whether that is enough.

use std::fmt;

use crate::bench::samples::Samples;

/// What a comparison has to reach.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bound {
    AtMost { must: f64, stretch: f64 },
    AtLeast { must: f64, stretch: f64 },
}

impl Bound {
    /// Says what has to be reached, and whether it is.
    fn verdict(self, value: f64, grade: Grade) -> String {
        let (Self::AtMost { must, stretch } | Self::AtLeast { must, stretch }) = self;
        let bound = match grade {
            Grade::Must => must,
            Grade::Stretch => stretch,
        };
        // What was not measured is on neither side.
        let (sign, holds) = match self {
            Self::AtMost { .. } => ('≤', value <= bound),
            Self::AtLeast { .. } => ('≥', value >= bound),
        };
        let holds = if holds { "holds" } else { "DOES NOT HOLD" };
        format!("{sign} {bound} {holds}")
    }
}

/// Which bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grade {
    Must,
    Stretch,
}

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    /// Of the list of targets.
    pub(super) number: &'static str,
    pub(super) what: &'static str,
    /// Beside what; empty where the figure itself is judged.
    pub(super) floor: &'static str,
    /// `None` is shown and not judged.
    pub(super) bound: Option<Bound>,
}

/// A target with what was measured.
#[derive(Debug)]
struct Row {
    target: Target,
    ours: Samples,
    floor: Samples,
}

impl Row {
    /// Returns what is judged: how ours compares in the rounds, or ours itself where nothing stands beside it.
    fn value(&self) -> Option<f64> {
        if !self.target.floor.is_empty() {
            return Some(self.ours.beside(&self.floor).median());
        }
        self.target.bound.map(|_| self.ours.median())
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Target {
            number,
            what,
            floor,
            bound,
        } = self.target;
        let ours = short(self.ours.median());
        write!(f, "{number:<3} {what:<46} {ours:>9}")?;
        if floor.is_empty() {
            write!(f, " {:>9} {:>7}", "", "")?;
        } else {
            let ratio = self.value().unwrap_or(f64::NAN);
            write!(f, " {:>9} {ratio:>7.3}", short(self.floor.median()))?;
        }
        for grade in [Grade::Must, Grade::Stretch] {
            let cell = match (bound, self.value()) {
                (Some(bound), Some(value)) => bound.verdict(value, grade),
                _ => String::new(),
            };
            write!(f, "  {cell:<22}")?;
        }
        if !floor.is_empty() {
            write!(f, "  beside {floor}")?;
        }
        Ok(())
    }
}

/// Everything that was measured.
#[derive(Debug, Default)]
pub(super) struct Table(Vec<Row>);

impl Table {
    /// Adds what was measured of a target in one round; `floor` is NaN where nothing stands beside it.
    pub(super) fn add(&mut self, target: Target, ours: f64, floor: f64) {
        let place = self.0.iter().position(|row| row.target.what == target.what);
        let place = place.unwrap_or_else(|| {
            let (ours, floor) = (Samples::default(), Samples::default());
            self.0.push(Row {
                target,
                ours,
                floor,
            });
            self.0.len() - 1
        });
        self.0[place].ours.add(ours);
        self.0[place].floor.add(floor);
    }

    /// Adds what was measured of a target that has no floor.
    pub(super) fn note(&mut self, target: Target, ours: f64) {
        self.add(target, ours, f64::NAN);
    }

    pub(super) fn print(&self) {
        println!(
            "\n{:<3} {:<46} {:>9} {:>9} {:>7}  {:<22}  {:<22}",
            "#", "medians of rounds", "ours", "floor", "ratio", "must", "stretch"
        );
        for row in &self.0 {
            println!("{}", row.to_string().trim_end());
        }
    }
}

/// Returns a figure as long as it has to be.
fn short(value: f64) -> String {
    let decimals = match value.abs() {
        small if small < 10.0 => 2,
        middle if middle < 1000.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Target = Target {
        number: "1",
        what: "to start, ms",
        floor: "skeleton",
        bound: Some(Bound::AtMost {
            must: 2.0,
            stretch: 1.3,
        }),
    };
    const MANY: Target = Target {
        number: "2",
        what: "a second",
        floor: "",
        bound: Some(Bound::AtLeast {
            must: 100.0,
            stretch: 200.0,
        }),
    };

    fn lines(table: &Table) -> Vec<String> {
        table.0.iter().map(Row::to_string).collect()
    }

    #[test]
    fn rounds_are_compared_with_the_floor_beside_them() {
        let mut table = Table::default();
        // By medians it would be 4 of 2; the third round was slow for both.
        for (ours, floor) in [(3.0, 2.0), (4.0, 1.0), (15.0, 10.0)] {
            table.add(QUICK, ours, floor);
        }
        let [line] = &lines(&table)[..] else {
            panic!("one row for each target");
        };
        assert!(line.contains("4.00      2.00   1.500"), "{line}");
        assert!(line.contains("≤ 2 holds "), "{line}");
        assert!(line.contains("≤ 1.3 DOES NOT HOLD"), "{line}");
    }

    #[test]
    fn a_figure_without_a_floor_is_judged_itself() {
        let mut table = Table::default();
        table.note(MANY, 150.0);
        let line = &lines(&table)[0];
        assert!(line.contains("≥ 100 holds "), "{line}");
        assert!(line.contains("≥ 200 DOES NOT HOLD"), "{line}");
    }

    #[test]
    fn what_was_not_measured_does_not_hold() {
        let mut table = Table::default();
        table.note(MANY, f64::NAN);
        assert!(!lines(&table)[0].contains(" holds"));
    }

    #[test]
    fn a_figure_has_three_digits_at_least() {
        assert_eq!([0.123, 12.34, 1234.5].map(short), ["0.12", "12.3", "1234"]);
    }
}
