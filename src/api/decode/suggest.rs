//! "Did you mean": the nearest of the words that would have been right.

/// The candidate that `word` is most likely a slip of: the same but for case, `-` and `_`, or
/// within one edit per three letters (at most three).
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let most = (word.chars().count() / 3).clamp(1, 3);
    nearest_within(word, candidates, most)
}

/// The candidate with the fewest edits (swapped neighbours count one) from `word`, if it is within
/// `most` edits. The first of equals wins.
pub fn nearest_within<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
    most: usize,
) -> Option<&'c str> {
    /// Longer words are no slips, and the comparison costs the square of the length.
    const LONGEST: usize = 64;
    if word.len() > LONGEST {
        return None;
    }
    let letters = |text: &str| text.replace(['-', '_'], "").to_ascii_lowercase();
    let folded = letters(word);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= LONGEST)
        .map(|candidate| {
            let same = letters(candidate) == folded;
            let edits = if same { 0 } else { strsim::damerau_levenshtein(word, candidate) };
            (edits, candidate)
        })
        .filter(|(edits, _)| *edits <= most)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// The hint for a word that is none of `candidates`.
pub(super) fn hint(word: &str, candidates: &[&str], what: &str) -> Option<String> {
    /// More names than this help nobody.
    const MOST: usize = 12;
    if let Some(near) = nearest(word, candidates.iter().copied()) {
        return Some(format!("did you mean {near:?}?"));
    }
    match candidates {
        [] => None,
        all if all.len() <= MOST => Some(format!("{what}: {}", all.join(", "))),
        some => Some(format!("{what} include {}", some[..MOST].join(", "))),
    }
}
