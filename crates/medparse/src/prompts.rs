//! Prompts: what to look for, one sentence for each mask.

/// What a text of prompts may hold; checked before anything is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PromptLimits {
    /// Sentences of one text.
    pub prompts: usize,
    /// Bytes of one text, all its sentences together.
    pub bytes: usize,
}

impl Default for PromptLimits {
    /// 100 sentences, 64 KiB: far above what the text encoder reads, far below what slows a machine
    /// down.
    fn default() -> Self {
        Self { prompts: 100, bytes: 64 * 1024 }
    }
}

/// A sentence that names what to look for: not empty, no blanks around it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Prompt(String);

/// Why a text holds no usable prompts. The messages never repeat the text, which may speak of a
/// patient.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PromptError {
    /// A sentence of blanks or nothing.
    #[error(
        "sentence {position} of {count} is empty; expected a phrase such as \"liver\" between every two \"&\""
    )]
    Empty {
        /// Which sentence, from 1.
        position: usize,
        /// How many sentences there are.
        count: usize,
    },
    /// More sentences than allowed.
    #[error("expected at most {limit} sentences separated by \"&\", found {found}")]
    TooMany {
        /// How many sentences there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A longer text than allowed.
    #[error("expected a text of at most {limit} bytes, found {found}")]
    TooLong {
        /// The length in bytes.
        found: usize,
        /// The longest that is allowed.
        limit: usize,
    },
}

impl Prompt {
    /// A prompt from one sentence; `&` is an ordinary character here.
    ///
    /// # Errors
    /// [`PromptError::Empty`] where only blanks are left, [`PromptError::TooLong`] above the
    /// default limit.
    pub fn new(sentence: &str) -> Result<Self, PromptError> {
        check_length(sentence, &PromptLimits::default())?;
        Self::trimmed(sentence, 1, 1)
    }

    /// The prompts of one text, which `&` separates, in order; blanks around each are dropped.
    ///
    /// ```
    /// use medparse::prompts::Prompt;
    ///
    /// let prompts = Prompt::split("neoplastic cells & inflammatory cells")?;
    /// assert_eq!(prompts[1].as_str(), "inflammatory cells");
    /// # Ok::<(), medparse::prompts::PromptError>(())
    /// ```
    ///
    /// # Errors
    /// [`PromptError`] where a sentence is empty or the text is above the default [`PromptLimits`].
    pub fn split(text: &str) -> Result<Vec<Self>, PromptError> {
        Self::split_within(text, &PromptLimits::default())
    }

    /// As [`Prompt::split`], within limits of your own.
    ///
    /// # Errors
    /// [`PromptError`] where a sentence is empty or the text is above `limits`.
    pub fn split_within(text: &str, limits: &PromptLimits) -> Result<Vec<Self>, PromptError> {
        check_length(text, limits)?;
        let count = text.split('&').count();
        if count > limits.prompts {
            return Err(PromptError::TooMany { found: count, limit: limits.prompts });
        }
        text.split('&')
            .zip(1..)
            .map(|(sentence, position)| Self::trimmed(sentence, position, count))
            .collect()
    }

    /// The sentence.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn trimmed(sentence: &str, position: usize, count: usize) -> Result<Self, PromptError> {
        match sentence.trim_matches(is_blank) {
            "" => Err(PromptError::Empty { position, count }),
            trimmed => Ok(Self(trimmed.to_owned())),
        }
    }
}

impl std::fmt::Display for Prompt {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What Python's `str.strip` removes, as the reference does: Unicode's white space, and the four
/// separators of ASCII beside it.
fn is_blank(character: char) -> bool {
    character.is_whitespace() || matches!(character, '\x1c'..='\x1f')
}

fn check_length(text: &str, limits: &PromptLimits) -> Result<(), PromptError> {
    if text.len() > limits.bytes {
        return Err(PromptError::TooLong { found: text.len(), limit: limits.bytes });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_lose_the_blanks_around_them() {
        for (text, expected) in [
            ("liver", vec!["liver"]),
            (
                "neoplastic cells & inflammatory cells ",
                vec!["neoplastic cells", "inflammatory cells"],
            ),
            ("\u{a0}a&b\n", vec!["a", "b"]),
            ("a & a", vec!["a", "a"]),
        ] {
            let prompts = Prompt::split(text).unwrap();
            let sentences: Vec<&str> = prompts.iter().map(Prompt::as_str).collect();
            assert_eq!(sentences, expected);
        }
        assert_eq!(Prompt::new(" vessels & ducts ").unwrap().as_str(), "vessels & ducts");
    }

    #[test]
    fn an_empty_sentence_is_named_by_its_place() {
        for (text, position, count) in
            [("", 1, 1), (" \n", 1, 1), ("a & & b", 2, 3), ("a & b & ", 3, 3), ("&a", 1, 2)]
        {
            assert_eq!(
                Prompt::split(text),
                Err(PromptError::Empty { position, count }),
                "{text:?}"
            );
        }
        let error = Prompt::split("John Doe & ").unwrap_err().to_string();
        assert!(
            error.starts_with("sentence 2 of 2 is empty") && !error.contains("John"),
            "{error}"
        );
    }

    #[test]
    fn limits_hold() {
        let limits = PromptLimits { prompts: 2, bytes: 8 };
        assert!(Prompt::split_within("ab & cde", &limits).is_ok());
        assert_eq!(
            Prompt::split_within("a & b&c", &limits),
            Err(PromptError::TooMany { found: 3, limit: 2 })
        );
        assert_eq!(
            Prompt::split_within("ab & cdef", &limits),
            Err(PromptError::TooLong { found: 9, limit: 8 })
        );
    }
}
