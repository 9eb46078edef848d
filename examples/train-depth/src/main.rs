//! Trains a decision tree on a table and says how often it is right. The job that `cargo xtask demo` submits.
//!
//! Usage: `train-depth TABLE.csv`. The tree's greatest depth is the task's index in the job array, so each
//! task tries another one. Accuracy is measured by cross-validation: each row is judged once, by a tree that
//! has not seen it. The result goes to `accuracy.json` in the folder that is kept.

mod table;
mod tree;

use std::{env, error::Error, fs, path::PathBuf};

use crate::{
    table::{Row, Table},
    tree::Tree,
};

/// Parts of the table; a row belongs to the part that its index modulo this number names.
const FOLDS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args_os()
        .nth(1)
        .ok_or("usage: train-depth TABLE.csv")?;
    let depth: u32 = env::var("COMPUTE_SHARE_TASK_INDEX")?.parse()?;
    let machine = env::var("COMPUTE_SHARE_MACHINE").unwrap_or_default();
    let output = env::var_os("COMPUTE_SHARE_OUTPUT_DIR")
        .map_or_else(|| PathBuf::from("/output"), PathBuf::from);

    let table = Table::parse(&fs::read_to_string(path)?)?;
    println!(
        "depth {depth} on {machine}: {} rows, {} features",
        table.rows.len(),
        table.features.len()
    );

    let mut right = 0;
    for fold in 0..FOLDS {
        let (unseen, seen): (Vec<_>, Vec<_>) = table
            .rows
            .iter()
            .enumerate()
            .partition(|(index, _)| index % FOLDS == fold);
        let tree = Tree::grow(&rows(&seen), depth);
        let hits = tree.hits(&rows(&unseen));
        right += hits;
        println!(
            "depth {depth}: part {} of {FOLDS}, {} leaves, {hits} of {} right",
            fold + 1,
            tree.leaf_count(),
            unseen.len()
        );
    }

    let all: Vec<&Row> = table.rows.iter().collect();
    let tree = Tree::grow(&all, depth);
    let unseen = share(right, all.len());
    let seen = share(tree.hits(&all), all.len());
    let result = format!(
        "{{\"depth\": {depth}, \"leaves\": {}, \"accuracy_on_unseen\": {unseen:.4}, \"accuracy_on_seen\": {seen:.4}}}\n",
        tree.leaf_count()
    );
    fs::write(output.join("accuracy.json"), result)?;
    println!("depth {depth}: accuracy {unseen:.3} on unseen rows, {seen:.3} on seen ones");
    Ok(())
}

fn rows<'a>(numbered: &[(usize, &'a Row)]) -> Vec<&'a Row> {
    numbered.iter().map(|(_, row)| *row).collect()
}

fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}
