//! Writes the red-wine quality table that the crate `linfa-datasets` ships as CSV. `cargo xtask demo` uploads
//! it as the dataset of its job.
//!
//! Usage: `export-wine FILE.csv`.

use std::{
    env,
    error::Error,
    fs::File,
    io::{BufWriter, Write},
};

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args_os().nth(1).ok_or("usage: export-wine FILE.csv")?;
    let wine = linfa_datasets::winequality();
    let mut file = BufWriter::new(File::create(path)?);
    writeln!(file, "{},quality", wine.feature_names().join(","))?;
    for (features, quality) in wine.records.rows().into_iter().zip(&wine.targets) {
        for feature in features {
            write!(file, "{feature},")?;
        }
        writeln!(file, "{quality}")?;
    }
    file.flush()?;
    Ok(())
}
