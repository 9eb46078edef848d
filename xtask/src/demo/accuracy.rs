//! What the trained trees are worth: read from the artifacts, checked, and shown as a table.

use std::{
    fmt::Write,
    fs,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The file that each task leaves.
const FILE: &str = "accuracy.json";

/// Deepest folder below the pulled artifacts that is looked into.
const MAX_DEPTH: u32 = 8;

/// What one task found out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Accuracy {
    depth: u32,
    leaves: u64,
    on_unseen: f64,
    on_seen: f64,
}

/// Reads every task's result in or below `folder`, by depth.
///
/// # Errors
/// A result cannot be read or is none.
pub(super) fn collect(folder: &Path) -> Result<Vec<Accuracy>> {
    let mut paths = Vec::new();
    search(folder, MAX_DEPTH, &mut paths);
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path)?;
        parse(&text)
    };
    let mut results = Vec::new();
    for path in &paths {
        results.push(read(path).with_context(|| format!("in {}", path.display()))?);
    }
    results.sort_by_key(|result| result.depth);
    Ok(results)
}

fn search(folder: &Path, depth: u32, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            search(&path, depth - 1, found);
        } else if path.ends_with(FILE) {
            found.push(path);
        }
    }
}

fn parse(text: &str) -> Result<Accuracy> {
    let value: Value = serde_json::from_str(text)?;
    let number = |key: &str| {
        value[key]
            .as_f64()
            .with_context(|| format!("no number {key:?}"))
    };
    let count = |key: &str| {
        value[key]
            .as_u64()
            .with_context(|| format!("no count {key:?}"))
    };
    Ok(Accuracy {
        depth: u32::try_from(count("depth")?)?,
        leaves: count("leaves")?,
        on_unseen: number("accuracy_on_unseen")?,
        on_seen: number("accuracy_on_seen")?,
    })
}

/// Checks that each depth came back once and that learning helped.
///
/// # Errors
/// A depth is missing or doubled, or the deepest tree is no better than the flattest.
pub(super) fn check(results: &[Accuracy], depths: RangeInclusive<u32>) -> Result<()> {
    let found: Vec<u32> = results.iter().map(|result| result.depth).collect();
    ensure!(
        found.iter().copied().eq(depths),
        "the artifacts have results of the depths {found:?}"
    );
    let ends = results.first().zip(results.last());
    let learned = ends.is_some_and(|(flat, deep)| deep.on_unseen > flat.on_unseen);
    ensure!(
        learned,
        "deeper trees should know the wines better: {results:?}"
    );
    Ok(())
}

/// Returns the table that people see; `job` is what `job show` said, for the machines.
pub(super) fn table(results: &[Accuracy], job: &Value) -> String {
    let mut text = format!(
        "{:>5}  {:>6}  {:>9}  {:>9}  trained on\n{:>5}  {:>6}  {:>9}  {:>9}\n",
        "depth", "leaves", "accuracy", "accuracy", "", "", "unseen", "seen"
    );
    let attempts = job["attempts"].as_array().map_or(&[][..], Vec::as_slice);
    for result in results {
        let ran = attempts
            .iter()
            .rfind(|attempt| attempt["task"] == result.depth);
        let machine = ran
            .and_then(|attempt| attempt["machine"].as_str())
            .unwrap_or("?");
        let Accuracy {
            depth,
            leaves,
            on_unseen,
            on_seen,
        } = result;
        let _a_string_takes_all = writeln!(
            text,
            "{depth:>5}  {leaves:>6}  {on_unseen:>9.3}  {on_seen:>9.3}  {machine}"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn result(depth: u32, on_unseen: f64) -> Accuracy {
        Accuracy {
            depth,
            leaves: 2,
            on_unseen,
            on_seen: 0.75,
        }
    }

    #[test]
    fn results_are_found_wherever_the_pull_put_them() {
        let folder = tempfile::tempdir().unwrap();
        for (task, depth) in [("1", 4), ("2/output", 3)] {
            let folder = folder.path().join(task);
            fs::create_dir_all(&folder).unwrap();
            let text = json!({"depth": depth, "leaves": 2, "accuracy_on_unseen": 0.5, "accuracy_on_seen": 0.75});
            fs::write(folder.join(FILE), text.to_string()).unwrap();
        }
        let results = collect(folder.path()).unwrap();
        assert_eq!(results, [result(3, 0.5), result(4, 0.5)]);
        fs::write(folder.path().join(FILE), "{}").unwrap();
        assert!(collect(folder.path()).is_err());
    }

    #[test]
    fn every_depth_once_and_better_at_the_end() {
        assert!(check(&[result(1, 0.5), result(2, 0.6)], 1..=2).is_ok());
        assert!(check(&[result(1, 0.5), result(3, 0.6)], 1..=2).is_err());
        assert!(check(&[result(1, 0.5), result(1, 0.5), result(2, 0.6)], 1..=2).is_err());
        assert!(check(&[result(1, 0.6), result(2, 0.6)], 1..=2).is_err());
        assert!(check(&[], 1..=2).is_err());
    }

    #[test]
    fn the_table_names_the_machine_of_the_last_try() {
        let job = json!({"attempts": [
            {"task": 1, "machine": "first"}, {"task": 1, "machine": "second"}, {"task": 2, "machine": "other"},
        ]});
        let table = table(&[result(1, 0.5)], &job);
        assert!(
            table.ends_with("    1       2      0.500      0.750  second\n"),
            "{table}"
        );
    }
}
