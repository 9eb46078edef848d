//! A row of bars: how an amount went lately, newest at the right.

/// From nothing to all of it.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Returns the last `width` values as bars, blank where there are fewer. `top` is a full bar, unless a value is
/// larger still.
pub(crate) fn sparkline(values: &[u64], top: u64, width: usize) -> String {
    let shown = &values[values.len().saturating_sub(width)..];
    let top = shown.iter().copied().fold(top, u64::max);
    let bars = shown.iter().map(|value| {
        let eighths = (u128::from(*value) * 8).div_ceil(u128::from(top.max(1)));
        BARS[usize::try_from(eighths).unwrap_or(8).clamp(1, 8) - 1]
    });
    let blank = std::iter::repeat_n(' ', width - shown.len());
    blank.chain(bars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_high_as_their_values_and_never_too_many() {
        #[track_caller]
        fn check(values: &[u64], top: u64, width: usize, expect: &str) {
            assert_eq!(sparkline(values, top, width), expect);
        }
        check(&[0, 50, 100], 100, 5, "  ▁▄█");
        check(&[1, 2, 3, 4], 4, 2, "▆█");
        check(&[400], 100, 1, "█");
        check(&[100, 400], 100, 2, "▂█");
        check(&[0, 0], 0, 2, "▁▁");
        check(&[u64::MAX], u64::MAX, 1, "█");
        check(&[], 100, 3, "   ");
        check(&[7], 100, 0, "");
    }
}
