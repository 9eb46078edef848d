//! A classification tree in the manner of CART: each split is the one that leaves the least Gini impurity.
//!
//! Deterministic: features are tried in order and the first best split wins, so the same rows give the same
//! tree on every machine.

use std::collections::BTreeMap;

use crate::table::Row;

/// Fewest rows that are split again; smaller groups are a leaf.
const MIN_ROWS_TO_SPLIT: usize = 2;

/// A grown tree.
#[derive(Debug, PartialEq)]
pub enum Tree {
    Leaf {
        class: u32,
    },
    /// Rows whose `feature` is at most `threshold` go left.
    Split {
        feature: usize,
        threshold: f64,
        left: Box<Tree>,
        right: Box<Tree>,
    },
}

impl Tree {
    /// Grows a tree of at most `depth` splits between root and leaf.
    pub fn grow(rows: &[&Row], depth: u32) -> Self {
        let counts = Counts::of(rows);
        let leaf = Self::Leaf {
            class: counts.most_frequent(),
        };
        if depth == 0 || rows.len() < MIN_ROWS_TO_SPLIT || counts.is_pure() {
            return leaf;
        }
        let Some((feature, threshold)) = best_split(rows, &counts) else {
            return leaf;
        };
        let (left, right): (Vec<&Row>, Vec<&Row>) = rows
            .iter()
            .partition(|row| row.features[feature] <= threshold);
        Self::Split {
            feature,
            threshold,
            left: Box::new(Self::grow(&left, depth - 1)),
            right: Box::new(Self::grow(&right, depth - 1)),
        }
    }

    /// Returns the class that the tree believes `row` to have.
    pub fn predict(&self, row: &Row) -> u32 {
        match self {
            Self::Leaf { class } => *class,
            Self::Split {
                feature,
                threshold,
                left,
                right,
            } => {
                let side = if row.features[*feature] <= *threshold {
                    left
                } else {
                    right
                };
                side.predict(row)
            }
        }
    }

    /// Returns how many rows it predicts rightly.
    pub fn hits(&self, rows: &[&Row]) -> usize {
        rows.iter()
            .filter(|row| self.predict(row) == row.class)
            .count()
    }

    pub fn leaf_count(&self) -> usize {
        match self {
            Self::Leaf { .. } => 1,
            Self::Split { left, right, .. } => left.leaf_count() + right.leaf_count(),
        }
    }
}

/// Returns the feature and threshold that leave the least impurity, if any split leaves less than there is.
fn best_split(rows: &[&Row], all: &Counts) -> Option<(usize, f64)> {
    let mut best = None;
    let mut least = all.impurity();
    for feature in 0..rows[0].features.len() {
        let mut sorted = rows.to_vec();
        sorted.sort_by(|a, b| a.features[feature].total_cmp(&b.features[feature]));
        let mut left = Counts::default();
        let mut right = all.clone();
        for pair in sorted.windows(2) {
            left.add(pair[0].class);
            right.remove(pair[0].class);
            let (low, high) = (pair[0].features[feature], pair[1].features[feature]);
            if low == high {
                continue;
            }
            let impurity = left.impurity() + right.impurity();
            if impurity < least {
                least = impurity;
                best = Some((feature, low + (high - low) / 2.0));
            }
        }
    }
    best
}

/// How many rows have each class.
#[derive(Debug, Clone, Default)]
struct Counts {
    by_class: BTreeMap<u32, usize>,
    total: usize,
}

impl Counts {
    fn of(rows: &[&Row]) -> Self {
        let mut counts = Self::default();
        for row in rows {
            counts.add(row.class);
        }
        counts
    }

    fn add(&mut self, class: u32) {
        *self.by_class.entry(class).or_default() += 1;
        self.total += 1;
    }

    fn remove(&mut self, class: u32) {
        if let Some(count) = self.by_class.get_mut(&class) {
            *count -= 1;
            self.total -= 1;
        }
    }

    fn is_pure(&self) -> bool {
        self.by_class.values().filter(|&&count| count > 0).count() <= 1
    }

    /// Returns the class of most rows; of several, the smallest.
    fn most_frequent(&self) -> u32 {
        let by_count = |a: &(&u32, &usize), b: &(&u32, &usize)| a.1.cmp(b.1).then(b.0.cmp(a.0));
        self.by_class
            .iter()
            .max_by(by_count)
            .map_or(0, |(class, _)| *class)
    }

    /// Returns the Gini impurity times the number of rows, so that the two sides of a split can be added.
    fn impurity(&self) -> f64 {
        let total = self.total as f64;
        let squares: f64 = self
            .by_class
            .values()
            .map(|&count| (count as f64).powi(2))
            .sum();
        if self.total == 0 {
            0.0
        } else {
            total - squares / total
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(features: [f64; 2], class: u32) -> Row {
        Row {
            features: features.to_vec(),
            class,
        }
    }

    #[test]
    fn one_split_finds_the_feature_that_tells() {
        let rows = [
            row([5.0, 1.0], 3),
            row([1.0, 2.0], 3),
            row([4.0, 8.0], 7),
            row([2.0, 9.0], 7),
        ];
        let rows: Vec<&Row> = rows.iter().collect();
        let tree = Tree::grow(&rows, 1);
        assert!(
            matches!(tree, Tree::Split { feature: 1, threshold, .. } if threshold == 5.0),
            "{tree:?}"
        );
        assert_eq!((tree.hits(&rows), tree.leaf_count()), (4, 2));
    }

    #[test]
    fn depth_bounds_the_tree() {
        let rows = [
            row([0.0, 0.0], 1),
            row([0.0, 1.0], 2),
            row([1.0, 0.0], 3),
            row([1.0, 1.0], 4),
        ];
        let rows: Vec<&Row> = rows.iter().collect();
        assert_eq!(Tree::grow(&rows, 0), Tree::Leaf { class: 1 });
        assert_eq!(Tree::grow(&rows, 1).hits(&rows), 2);
        assert_eq!(Tree::grow(&rows, 2).hits(&rows), 4);
        assert_eq!(Tree::grow(&rows, 9).leaf_count(), 4);
    }
}
