use crate::{Place, WireError, WireLimits};

/// The sentences of one text: separated by `&`, blanks around each removed, in order.
///
/// # Errors
/// An empty sentence, too many sentences, or a text that is too long; `place` is named.
pub fn split_sentences(
    text: &str,
    limits: &WireLimits,
    place: &Place,
) -> Result<Vec<String>, WireError> {
    if text.len() > limits.text_bytes {
        return Err(WireError::TextTooLong {
            place: place.clone(),
            found: text.len(),
            limit: limits.text_bytes,
        });
    }
    let count = text.split('&').count();
    if count > limits.prompts {
        return Err(WireError::TooManyPrompts {
            place: place.clone(),
            found: count,
            limit: limits.prompts,
        });
    }
    text.split('&')
        .map(|sentence| sentence.trim_matches(is_blank))
        .enumerate()
        .map(|(at, sentence)| match sentence {
            "" => Err(WireError::EmptySentence { place: place.clone(), position: at + 1, count }),
            _ => Ok(sentence.to_owned()),
        })
        .collect()
}

/// What Python's `str.strip` removes, as the reference does: Unicode's white space, and the four
/// separators of ASCII beside it.
fn is_blank(character: char) -> bool {
    character.is_whitespace() || matches!(character, '\x1c'..='\x1f')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Column;

    fn place() -> Place {
        Place { row: 4, column: Column::Text, path: "input_data.data[4][1]".into() }
    }

    #[test]
    fn splits_and_strips() {
        let split = |text| split_sentences(text, &WireLimits::default(), &place());
        assert_eq!(
            split("neoplastic & inflammatory cells ").unwrap(),
            ["neoplastic", "inflammatory cells"]
        );
        assert_eq!(split("a&b").unwrap(), ["a", "b"]);
        assert_eq!(split("\u{a0}liver\n").unwrap(), ["liver"]);
        assert_eq!(split("\x1cliver\x1f & \x1dlung\x1e").unwrap(), ["liver", "lung"]);
    }

    #[test]
    fn an_empty_sentence_names_row_and_position() {
        for (text, position) in [("", 1), ("a & & b", 2), ("a & b & ", 3), ("&a", 1)] {
            let error = split_sentences(text, &WireLimits::default(), &place()).unwrap_err();
            assert!(
                matches!(error, WireError::EmptySentence { position: p, .. } if p == position),
                "{text}: {error}"
            );
            assert!(
                error
                    .to_string()
                    .starts_with("row 4, column \"text\" (input_data.data[4][1]): sentence")
            );
        }
    }

    #[test]
    fn ten_thousand_sentences_are_refused() {
        let text = vec!["a"; 10_000].join("&");
        let error = split_sentences(&text, &WireLimits::default(), &place()).unwrap_err();
        assert!(matches!(error, WireError::TooManyPrompts { found: 10_000, limit: 100, .. }));
    }
}
