//! Texts as statuses have them.

/// A longer word is cut.
const MAX_WORD: usize = 64;

/// The beginning of a text, at most so many bytes.
pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

/// A text as one CamelCase word: of "refused with 4.04" `RefusedWith404`.
pub(crate) fn word(text: &str) -> String {
    let mut word = String::new();
    for part in text.split(|character: char| !character.is_ascii_alphanumeric() && character != '.')
    {
        let mut characters = part.chars().filter(|character| *character != '.');
        word.extend(characters.next().map(|first| first.to_ascii_uppercase()));
        word.extend(characters);
    }
    if word.is_empty() {
        return "Unknown".to_owned();
    }
    cut(&word, MAX_WORD).to_owned()
}

/// The text, unless there is none.
pub(crate) fn non_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
