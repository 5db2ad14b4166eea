//! What the index of texts holds of a text: the runs of three letters or digits that it has, folded as for comparing. A
//! text that holds another has all of that one's runs.

/// The runs of a folded text, with a space behind each.
pub(super) fn grams(folded: &str) -> String {
    let mut grams = String::with_capacity(folded.len() * 3);
    each(folded, |gram| {
        grams.push_str(gram);
        grams.push(' ');
    });
    grams
}

/// What a text must have in the index to hold all of the pieces, or some of it where that would be more than
/// [`MOST_WANTED`] runs; `None` when the pieces are too short to say.
pub(super) fn wanted<'a>(pieces: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut grams: Vec<&str> = Vec::new();
    for piece in pieces {
        each(piece, |gram| grams.push(gram));
    }
    grams.sort_unstable();
    grams.dedup();
    // All over them: which are rare is not known here.
    let apart = grams.len().div_ceil(MOST_WANTED).max(1);
    // Letters and digits alone: nothing in them means anything to the index.
    let wanted: Vec<String> = grams.into_iter().step_by(apart).map(|gram| format!("\"{gram}\"")).collect();
    (!wanted.is_empty()).then(|| wanted.join(" "))
}

fn each<'a>(text: &'a str, mut gram: impl FnMut(&'a str)) {
    let (mut first, mut second) = (None, None);
    for (at, character) in text.char_indices() {
        if !character.is_alphanumeric() {
            (first, second) = (None, None);
            continue;
        }
        if let Some(from) = first {
            gram(&text[from..at + character.len_utf8()]);
        }
        (first, second) = (second, Some(at));
    }
}

/// Runs that are looked for at once, whatever somebody typed: each costs, where it is frequent.
const MOST_WANTED: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_three_end_with_the_word() {
        assert_eq!(grams("abcd, ef ghi"), "abc bcd ghi ");
        assert_eq!(grams("где-то 𝄞abc\u{0}12"), "где abc ");
        assert_eq!(wanted(["abcd", "x", "xabc"].into_iter()).as_deref(), Some("\"abc\" \"bcd\" \"xab\""));
        assert_eq!(wanted(["ab", "\"?*\"", ""].into_iter()), None);
    }

    #[test]
    fn nothing_that_is_typed_means_anything_to_the_index_and_long_texts_are_looked_for_by_some_of_their_runs() {
        for hostile in
            ["\"", "a\"b", "NEAR(abc, 2)", "abc* OR", "grams:abc", "^abc", "-abc", "{a b}:abc", "ab\u{0}c\u{0}"]
        {
            let wanted = wanted([hostile].into_iter()).unwrap_or_default();
            let quoted = wanted.split(' ').filter(|gram| !gram.is_empty());
            for gram in quoted {
                let inner = gram.strip_prefix('"').and_then(|gram| gram.strip_suffix('"')).unwrap();
                assert!(
                    inner.chars().count() == 3 && inner.chars().all(char::is_alphanumeric),
                    "{hostile:?}: {wanted}"
                );
            }
        }
        let long: String = (0..256).map(|n| char::from(b'a' + (n * n / 7 % 26) as u8)).collect();
        let wanted = wanted([&*long].into_iter()).unwrap();
        assert!((MOST_WANTED / 2..=MOST_WANTED).contains(&wanted.split(' ').count()), "{wanted}");
    }
}
