//! Measured times as lines: the median, the throughput, and how it compares.

use anyhow::Result;

use super::Place;
use crate::bench::samples::Samples;

/// One thing that was measured several times.
#[derive(Debug)]
pub(super) struct Row {
    name: String,
    seconds: Samples,
    /// Bytes on the wire, where they were counted.
    wire: Samples,
}

/// Everything that was measured of one kind of data.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Row>,
}

/// A bound that is to hold: one row's median beside another's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    pub(super) what: &'static str,
    pub(super) ours: &'static str,
    pub(super) theirs: &'static str,
    /// Most that ours may take, as a part of theirs.
    pub(super) most: f64,
}

impl Table {
    /// Adds what a piece of work took.
    pub(super) fn time(&mut self, name: &str, work: impl FnOnce() -> Result<f64>) -> Result<()> {
        settle();
        let took = work()?;
        self.row(name).seconds.add(took);
        Ok(())
    }

    /// Adds what a piece of work took, and what it moved over a device of `place`.
    pub(super) fn measure(
        &mut self,
        name: &str,
        (place, device): (&Place, &str),
        work: impl FnOnce() -> Result<f64>,
    ) -> Result<()> {
        settle();
        let before = place.traffic(device)?;
        let took = work()?;
        let row = self.row(name);
        row.seconds.add(took);
        row.wire.add((place.traffic(device)? - before) as f64);
        Ok(())
    }

    fn row(&mut self, name: &str) -> &mut Row {
        let place = self.rows.iter().position(|row| row.name == name);
        let place = place.unwrap_or_else(|| {
            let (seconds, wire) = (Samples::default(), Samples::default());
            self.rows.push(Row {
                name: name.to_owned(),
                seconds,
                wire,
            });
            self.rows.len() - 1
        });
        &mut self.rows[place]
    }

    pub(super) fn median(&self, name: &str) -> f64 {
        self.seconds(name).median()
    }

    fn seconds(&self, name: &str) -> &Samples {
        const NONE: &Samples = &Samples::none();
        let row = self.rows.iter().find(|row| row.name == name);
        row.map_or(NONE, |row| &row.seconds)
    }

    pub(super) fn wire(&self, name: &str) -> f64 {
        let row = self.rows.iter().find(|row| row.name == name);
        row.map_or(f64::NAN, |row| row.wire.median())
    }

    /// Prints every row; `mb` is what was moved, in megabytes.
    pub(super) fn print(&self, title: &str, mb: f64) {
        println!(
            "\n{title:<44} {:>9} {:>8} {:>10}",
            "median s", "MB/s", "wire MB"
        );
        for row in &self.rows {
            let median = row.seconds.median();
            let wire = row.wire.median();
            let wire = if wire.is_nan() {
                String::new()
            } else {
                format!("{:.2}", wire / 1e6)
            };
            println!(
                "{:<44} {median:>9.3} {:>8.0} {wire:>10}",
                row.name,
                mb / median
            );
        }
    }

    /// Prints whether these bounds hold.
    pub(super) fn judge(&self, bounds: &[Bound]) {
        for bound in bounds {
            let [ours, theirs] = [bound.ours, bound.theirs].map(|name| self.seconds(name));
            let ratios = ours.beside(theirs);
            verdict(bound.what, ratios.median(), bound.most);
            if let Some((least, most)) = ratios.range().filter(|(least, most)| least < most) {
                println!("    in single rounds {least:.2} to {most:.2}");
            }
        }
    }
}

/// Has the disk take what was written before: nobody is to pay for somebody else's bytes.
fn settle() {
    rustix::fs::sync();
}

/// Prints whether a ratio is as small as it has to be.
pub(super) fn verdict(what: &str, ratio: f64, most: f64) {
    let holds = if ratio <= most {
        "holds"
    } else {
        "DOES NOT HOLD"
    };
    println!("  {what}: {ratio:.2}, at most {most}: {holds}");
}
