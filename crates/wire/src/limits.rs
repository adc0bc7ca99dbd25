/// What a request may hold, apart from its size in bytes, which the transport bounds.
///
/// Nesting is bounded as well: JSON deeper than 128 levels is refused while it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WireLimits {
    /// Rows of one request; the documentation allows 256, and a larger value has no effect.
    pub rows: usize,
    /// Sentences of one row.
    pub prompts: usize,
    /// Bytes of one row's text, all its sentences together.
    pub text_bytes: usize,
}

impl WireLimits {
    /// The number of rows that the documentation allows in one request.
    pub const DOCUMENTED_ROWS: usize = 256;
}

impl Default for WireLimits {
    fn default() -> Self {
        Self { rows: Self::DOCUMENTED_ROWS, prompts: 100, text_bytes: 64 * 1024 }
    }
}
