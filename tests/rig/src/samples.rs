//! Folders of data that does not compress, and how one hundredth of them changes.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufWriter, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rand::{Rng, RngCore, SeedableRng, rngs::SmallRng, seq::index};

use crate::Kind;

const BIG_FILES: u64 = 4;
const FILES_PER_FOLDER: u64 = 200;
const SMALL_BYTES: std::ops::Range<usize> = 60 << 10..140 << 10;
/// What changes at once in a large file.
const BLOCK_BYTES: usize = 64 << 10;

/// Fills `folder`, which is made.
pub(crate) fn fill(folder: &Path, kind: Kind, mib: u64) -> Result<()> {
    let mut random = SmallRng::from_os_rng();
    match kind {
        Kind::Big => {
            fs::create_dir_all(folder)?;
            let mut block = vec![0; 1 << 20];
            for number in 0..BIG_FILES {
                let mut file = BufWriter::new(File::create(big(folder, number))?);
                for _ in 0..mib / BIG_FILES {
                    random.fill_bytes(&mut block);
                    file.write_all(&block)?;
                }
            }
        }
        Kind::Small => {
            let mut left = mib << 20;
            for number in 0.. {
                let size = random.random_range(SMALL_BYTES).min(usize::try_from(left)?);
                if size == 0 {
                    break;
                }
                write_small(&small(folder, number), size, &mut random)?;
                left -= size as u64;
            }
        }
        Kind::Empty => {
            for number in 0..mib * 1000 {
                let path = small(folder, number);
                make_parent(&path)?;
                File::create(path)?;
            }
        }
    }
    Ok(())
}

/// Changes one hundredth of what [`fill`] made.
pub(crate) fn change(folder: &Path, kind: Kind) -> Result<()> {
    let mut random = SmallRng::from_os_rng();
    if kind == Kind::Big {
        let mut block = vec![0; BLOCK_BYTES];
        for number in 0..BIG_FILES {
            let file = OpenOptions::new().write(true).open(big(folder, number))?;
            let blocks = usize::try_from(file.metadata()?.len())? / BLOCK_BYTES;
            for place in index::sample(&mut random, blocks, blocks.div_ceil(100)) {
                random.fill_bytes(&mut block);
                file.write_all_at(&block, (place * BLOCK_BYTES) as u64)?;
            }
        }
        return Ok(());
    }
    let count = (0..)
        .take_while(|&number| small(folder, number).exists())
        .count();
    for number in index::sample(&mut random, count, count.div_ceil(100)) {
        write_small(&small(folder, number as u64), 100 << 10, &mut random)?;
    }
    Ok(())
}

fn write_small(path: &Path, size: usize, random: &mut SmallRng) -> Result<()> {
    let mut content = vec![0; size];
    random.fill_bytes(&mut content);
    make_parent(path)?;
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}

fn make_parent(path: &Path) -> Result<()> {
    Ok(fs::create_dir_all(path.parent().unwrap_or(path))?)
}

fn big(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("f{number}.bin"))
}

fn small(folder: &Path, number: u64) -> PathBuf {
    let inner = format!("d{:04}", number / FILES_PER_FOLDER);
    folder.join(inner).join(format!("f{number:07}.bin"))
}
