use serde::{Deserialize, Serialize};

/// The body of every error reply: `{"error": {"code", "message"}, "message"}`.
///
/// Both places carry the sentence because azure-ai-ml reads `error.message` and other clients read `message`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The stable code, the sentence, and what it is about.
    pub error: ErrorDetail,
    /// The sentence once more.
    pub message: String,
}

/// What went wrong, as a stable code and one sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// A stable code in CamelCase, such as `InvalidImage`.
    pub code: String,
    /// One sentence: what was wrong, expected and found.
    pub message: String,
    /// Where in the request, as a path such as `input_data.data[3][0]`, where there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub target: Option<String>,
}

impl ErrorBody {
    /// An error body from a code and a sentence.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            error: ErrorDetail { code: code.to_owned(), message: message.clone(), target: None },
            message,
        }
    }

    /// The same body, pointing at `target`.
    pub fn at(mut self, target: impl Into<String>) -> Self {
        self.error.target = Some(target.into());
        self
    }
}
