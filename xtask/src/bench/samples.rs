//! Measured values of one kind, and what is said about them.

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Samples(Vec<f64>);

impl Samples {
    pub(super) const fn none() -> Self {
        Self(Vec::new())
    }

    pub(super) fn add(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(super) fn median(&self) -> f64 {
        self.percentile(50)
    }

    pub(super) fn p99(&self) -> f64 {
        self.percentile(99)
    }

    pub(super) fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    /// Returns how many times as much each is as what was measured of the other in the same round; where the rounds were
    /// not the same, how the medians compare.
    pub(super) fn beside(&self, other: &Self) -> Self {
        if self.0.len() == other.0.len() {
            let pairs = self.0.iter().zip(&other.0);
            return Self(pairs.map(|(own, other)| own / other).collect());
        }
        Self(vec![self.median() / other.median()])
    }

    /// Returns the smallest and the largest; `None` of none.
    pub(super) fn range(&self) -> Option<(f64, f64)> {
        let least = self.0.iter().copied().min_by(f64::total_cmp)?;
        let most = self.0.iter().copied().max_by(f64::total_cmp)?;
        Some((least, most))
    }

    /// Returns the smallest value that at least `percent` of all do not exceed (nearest rank); NaN of none.
    fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let mut samples = Samples::default();
        for value in (1..=200).rev() {
            samples.add(f64::from(value));
        }
        assert_eq!(samples.median(), 100.0);
        assert_eq!(samples.p99(), 198.0);
        assert_eq!(samples.mean(), 100.5);
        assert!(Samples::default().median().is_nan());
        assert_eq!(samples.range(), Some((1.0, 200.0)));
        assert_eq!(Samples::default().range(), None);
    }

    #[test]
    fn rounds_are_compared_one_by_one_where_they_were_the_same() {
        let samples = |values: &[f64]| Samples(values.to_vec());
        let ours = samples(&[2.0, 9.0, 4.0]);
        assert_eq!(ours.beside(&samples(&[1.0, 3.0, 1.0])).0, [2.0, 3.0, 4.0]);
        assert_eq!(ours.beside(&samples(&[1.0, 2.0])).0, [4.0]);
    }
}
