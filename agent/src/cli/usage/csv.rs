//! Usage as comma-separated values (RFC 4180): one line a row, seconds with three decimals, sizes in bytes.

use std::collections::BTreeSet;

use common::{
    api::usage::UsageReport,
    usage::{MilliSeconds, UsageRow, UsageSums},
};

/// One of a row's sums, by its name.
type Part = (&'static str, fn(&UsageRow) -> &UsageSums);
/// One number of a sum, by its name.
type Number = (&'static str, fn(&UsageSums) -> String);

/// What is said of each of a row's sums.
const PARTS: [Part; 4] = [
    ("billed", |row| &row.billed),
    ("unbilled", |row| &row.unbilled),
    ("own", |row| &row.own),
    ("lent", |row| &row.lent),
];

/// Columns of every sum.
const NUMBERS: [Number; 7] = [
    ("attempts", |sums| sums.attempts.to_string()),
    ("wall_seconds", |sums| sums.wall_seconds.to_string()),
    ("cpu_seconds", |sums| sums.cpu_seconds.to_string()),
    ("cpu_used_seconds", |sums| sums.cpu_used_seconds.to_string()),
    ("memory_mib_seconds", |sums| {
        sums.memory_mib_seconds.to_string()
    }),
    ("stored_bytes", |sums| sums.stored.0.to_string()),
    ("moved_bytes", |sums| sums.moved.0.to_string()),
];

/// Returns a heading and a line for each row.
pub(super) fn of(report: &UsageReport) -> String {
    let rows = &report.rows;
    let sums = rows.iter().flat_map(|row| PARTS.map(|(_, part)| part(row)));
    let models: BTreeSet<&String> = sums.flat_map(|sums| sums.gpu_seconds.keys()).collect();
    let mut heading = vec![report.by.to_string(), "id".to_owned()];
    for (part, _) in PARTS {
        heading.extend(NUMBERS.map(|(number, _)| format!("{part}_{number}")));
        let gpus = models.iter();
        heading.extend(gpus.map(|model| format!("{part}_gpu_seconds_{model}")));
    }
    let lines = rows.iter().map(|row| {
        let mut cells = vec![row.name.clone().unwrap_or_default(), row.id.clone()];
        for (_, part) in PARTS {
            let sums = part(row);
            cells.extend(NUMBERS.map(|(_, number)| number(sums)));
            let gpu = |model: &&String| sums.gpu_seconds.get(*model).copied();
            let gpus = models.iter().map(|model| gpu(model).unwrap_or_default());
            cells.extend(gpus.map(|ms: MilliSeconds| ms.to_string()));
        }
        line(&cells)
    });
    let heading = line(&heading);
    [heading].into_iter().chain(lines).collect()
}

fn line(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|text| cell(text)).collect();
    format!("{}\r\n", cells.join(","))
}

/// Returns a cell that no spreadsheet takes for a formula: models of GPUs are what machines say they are.
fn cell(text: &str) -> String {
    let harmless = match text.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r') => format!("'{text}"),
        _ => text.to_owned(),
    };
    if harmless.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", harmless.replace('"', "\"\""))
    } else {
        harmless
    }
}

#[cfg(test)]
mod tests {
    use common::{status::UsageBy, units::Bytes};

    use super::*;

    #[test]
    fn every_row_has_every_column_and_nothing_is_a_formula() {
        let sums = UsageSums {
            attempts: 2,
            cpu_seconds: MilliSeconds(1_500),
            stored: Bytes(7),
            gpu_seconds: [("=cmd(\"x\",1)".to_owned(), MilliSeconds(3))].into(),
            ..UsageSums::default()
        };
        let row = |id: &str, billed: UsageSums| UsageRow {
            id: id.to_owned(),
            name: (!id.is_empty()).then(|| "bob".to_owned()),
            billed,
            ..UsageRow::default()
        };
        let report = UsageReport {
            by: UsageBy::Project,
            since: None,
            billed: sums.clone(),
            unbilled: UsageSums::default(),
            rows: vec![row("", UsageSums::default()), row("x-1", sums)],
            after: None,
        };
        let text = of(&report);
        let lines: Vec<&str> = text.split_terminator("\r\n").collect();
        assert_eq!(lines.len(), 3);
        assert!(
            lines[0]
                .starts_with("project,id,billed_attempts,billed_wall_seconds,billed_cpu_seconds,")
        );
        assert!(lines[0].contains(r#","billed_gpu_seconds_=cmd(""x"",1)","#));
        assert!(lines[1].starts_with(",,0,0.000,0.000,"));
        assert!(lines[2].starts_with("bob,x-1,2,0.000,1.500,0.000,0.000,7,0,0.003,"));
        assert_eq!(cell("=1+1"), "'=1+1");
        assert_eq!(cell("rtx-4090"), "rtx-4090");
    }
}
