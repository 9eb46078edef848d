//! The word that was likely meant.

/// Most letters that may be wrong in a word.
const MAX_TYPOS: usize = 2;

pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |candidate: &str| strsim::damerau_levenshtein(&word.to_lowercase(), candidate);
    let best = known.iter().copied().min_by_key(|name| distance(name))?;
    let begun = !word.is_empty() && best.starts_with(word);
    (begun || distance(best) <= MAX_TYPOS).then_some(best)
}
