//! What of a folder does not travel because a rule says so: named, so that nobody misses it later.

use common::tree::{MAX_ENTRIES, TreePath};

use super::{
    read::Walked,
    walk::{Found, shown},
};

/// Most paths that are named.
const MAX_NAMED: usize = 10;

/// What was left out; of a folder that was, nothing inside is counted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// The first few, as people read them.
    pub named: Vec<String>,
    pub count: u64,
}

impl Walked {
    /// Returns what lies in the folder and does not travel. Blocks: lists every folder once more.
    pub fn left_out(&self) -> LeftOut {
        let (root, found) = self.found();
        let mut left_out = LeftOut::default();
        let inside = found
            .iter()
            .filter(|(_, kind)| matches!(kind, Found::Directory));
        let inside = inside.map(|(path, _)| path.as_bytes());
        for folder in [&b""[..]].into_iter().chain(inside) {
            // Whatever cannot be listed any more was there when it was walked.
            let listed = root.folder(folder).and_then(|it| it.names(MAX_ENTRIES));
            for name in listed.unwrap_or_default() {
                let path = match folder {
                    b"" => name,
                    folder => [folder, b"/", &name].concat(),
                };
                let travels = TreePath::new(path.clone())
                    .is_ok_and(|path| found.binary_search_by(|(it, _)| it.cmp(&path)).is_ok());
                if !travels {
                    left_out.count += 1;
                    if left_out.named.len() < MAX_NAMED {
                        left_out.named.push(shown(&path));
                    }
                }
            }
        }
        left_out.named.sort();
        left_out
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use crate::transfer::{WalkOptions, walk};

    fn left_out(folder: &Path, options: &WalkOptions) -> Vec<String> {
        let left_out = walk(folder, options).unwrap().left_out();
        assert_eq!(left_out.count, left_out.named.len() as u64);
        left_out.named
    }

    #[test]
    fn what_a_rule_leaves_out_is_named_once() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path();
        for inside in [".git/deep", "logs/deep", "kept"] {
            fs::create_dir_all(folder.join(inside)).unwrap();
        }
        for (path, content) in [
            (".gitignore", "*.csv\n"),
            (".computeshareignore", "logs/\n"),
            ("a.csv", "1"),
            ("kept/b.csv", "2"),
            ("kept/c.tmp", "3"),
            ("logs/deep/d", "4"),
        ] {
            fs::write(folder.join(path), content).unwrap();
        }
        let plain = WalkOptions {
            gitignore: false,
            ..WalkOptions::default()
        };
        let always = ["\".git\"", "\"logs\""];
        assert_eq!(left_out(folder, &plain), always);
        let excluding = WalkOptions {
            exclude: vec!["*.tmp".to_owned()],
            ..plain
        };
        assert_eq!(
            left_out(folder, &excluding),
            ["\".git\"", "\"kept/c.tmp\"", "\"logs\""]
        );
        assert_eq!(
            left_out(folder, &WalkOptions::default()),
            ["\".git\"", "\"a.csv\"", "\"kept/b.csv\"", "\"logs\""]
        );
    }
}
