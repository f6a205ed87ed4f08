//! Letters that a text for people should not hold.

/// Marks, embeddings, overrides and isolates that turn the direction of what follows (Unicode Annex 9,
/// section 2): one name could read as another.
pub(crate) fn turns_direction(letter: char) -> bool {
    matches!(letter, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
