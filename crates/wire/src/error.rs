use thiserror::Error;

use crate::locate::path_at;
use crate::{Base64Fault, Column, Kind, Place};

/// A rule of the contract that a request breaks, as a sentence that names the place, what was expected and found.
///
/// The sentences quote column names but never a picture or a prompt.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WireError {
    /// The body is not UTF-8.
    #[error("the body is not UTF-8{}: byte {at} starts an invalid sequence", within(path))]
    NotUtf8 {
        /// Path of the value that holds it; empty for the body itself.
        path: String,
        /// Offset of the first wrong byte.
        at: usize,
    },
    /// The body is not JSON, or is nested too deeply.
    #[error("the body is not valid JSON{}: {reason}", within(path))]
    Syntax {
        /// Path of the value that is wrong; empty for the body itself.
        path: String,
        /// The parser's reason, with line and column.
        reason: String,
    },
    /// A value has the wrong kind.
    #[error("{path} must be {expected}; found {found}")]
    WrongKind {
        /// Path of the value.
        path: String,
        /// What belongs there.
        expected: &'static str,
        /// What stood there.
        found: Kind,
    },
    /// A required key is absent.
    #[error("{path} is missing; expected {expected}")]
    Missing {
        /// Path of the key.
        path: String,
        /// What belongs there.
        expected: &'static str,
    },
    /// The request holds its rows twice.
    #[error("expected the rows in one form; found both \"{first}\" and \"{second}\"")]
    TwoForms {
        /// The key that came first.
        first: &'static str,
        /// The key that came after it.
        second: &'static str,
    },
    /// The columns are not `image` and `text`.
    #[error(
        "{path} must name the columns \"image\" and \"text\" once each, in either order; found {found}"
    )]
    Columns {
        /// Path of the list of columns.
        path: String,
        /// The names found, shortened.
        found: String,
    },
    /// The index does not count the rows.
    #[error("{path} counts {index} rows; data has {rows}")]
    IndexMismatch {
        /// Path of the index.
        path: String,
        /// Rows by the index.
        index: u64,
        /// Rows of the data.
        rows: usize,
    },
    /// More rows than one request may hold.
    #[error("the request has {found} rows; at most {limit} are accepted")]
    TooManyRows {
        /// Rows found.
        found: usize,
        /// Rows accepted.
        limit: usize,
    },
    /// A row is not made of two cells.
    #[error("row {row} ({path}) has {found} items; expected 2, one for each column")]
    RowLength {
        /// The row, counted from 0.
        row: usize,
        /// Path of the row.
        path: String,
        /// Items found.
        found: usize,
    },
    /// A record lacks a column.
    #[error("{0}: the column is missing")]
    MissingCell(Place),
    /// A record has a column that the contract does not know.
    #[error("row {row} ({path}) has the column {found}; expected \"image\" and \"text\" only")]
    UnknownColumn {
        /// The row, counted from 0.
        row: usize,
        /// Path of the row.
        path: String,
        /// The unknown name, shortened and quoted.
        found: String,
    },
    /// A cell is not a string.
    #[error("{place}: expected {}, found {found}", expected_cell(place.column))]
    Cell {
        /// Where.
        place: Place,
        /// What stood there.
        found: Kind,
    },
    /// A text cell cannot be decoded, which JSON allows for halves of surrogate pairs.
    #[error("{place}: the text is not valid Unicode (half of a surrogate pair)")]
    TextNotUnicode {
        /// Where.
        place: Place,
    },
    /// A text is longer than a row may carry.
    #[error("{place}: the text has {found} bytes; at most {limit} are accepted")]
    TextTooLong {
        /// Where.
        place: Place,
        /// Bytes found.
        found: usize,
        /// Bytes accepted.
        limit: usize,
    },
    /// A sentence between two `&` is empty.
    #[error("{place}: sentence {position} of {count} is empty (sentences are separated by \"&\")")]
    EmptySentence {
        /// Where.
        place: Place,
        /// Position of the sentence, counted from 1.
        position: usize,
        /// Sentences in the text.
        count: usize,
    },
    /// More sentences than a row may carry.
    #[error("{place}: the text has {found} sentences; at most {limit} are accepted")]
    TooManyPrompts {
        /// Where.
        place: Place,
        /// Sentences found.
        found: usize,
        /// Sentences accepted.
        limit: usize,
    },
    /// An image cell is not base64.
    #[error("{place}: {fault}")]
    Base64 {
        /// Where.
        place: Place,
        /// What is wrong with it.
        fault: Base64Fault,
    },
    /// A tensor of the inference protocol is not what the model takes.
    #[error("{path} {problem}")]
    Tensor {
        /// Path of the tensor.
        path: String,
        /// What is wrong with it, expected and found.
        problem: String,
    },
}

/// Names the place of a fault that the parser met; a cell of a table by its row.
fn within(path: &str) -> String {
    match cell(path) {
        Some((row, item)) => format!(" in row {row}, item {item} ({path})"),
        None if path.is_empty() => String::new(),
        None => format!(" in {path}"),
    }
}

/// The row and the position in it of a table's cell `….data[row][item]`, or of what is inside it. Other keys may hold
/// a `data` of their own, which has no rows.
fn cell(path: &str) -> Option<(&str, &str)> {
    let roots = ["input_data.", "dataframe_split.", ""];
    let mut tables = roots.iter().filter_map(|root| path.strip_prefix(root));
    let rest = tables.find_map(|inside| inside.strip_prefix("data["))?;
    let (row, rest) = rest.split_once("][")?;
    Some((row, rest.split_once(']')?.0))
}

fn expected_cell(column: Column) -> &'static str {
    match column {
        Column::Image => "a picture as a base64 string",
        Column::Text => "sentences as a string",
    }
}

/// What sort of answer a broken rule deserves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The body cannot be read as a request (400).
    Malformed,
    /// The request is well formed, and a cell of it cannot be used (422).
    Content,
    /// The request asks for more than is allowed (413).
    TooLarge,
}

impl WireError {
    pub(crate) fn syntax(text: &str, error: &serde_json::Error) -> Self {
        let line_start: usize =
            text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
        let offset = line_start + error.column().saturating_sub(1);
        // Syntax errors of serde_json are fixed phrases with a position; they never quote the document.
        Self::Syntax { path: path_at(text, offset), reason: error.to_string() }
    }

    /// The fault of a body that is not UTF-8.
    pub fn not_utf8(body: &[u8], error: std::str::Utf8Error) -> Self {
        let at = error.valid_up_to();
        let valid = body.get(..at).and_then(|valid| std::str::from_utf8(valid).ok());
        Self::NotUtf8 { path: path_at(valid.unwrap_or_default(), at), at }
    }

    /// A stable code for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotUtf8 { .. } | Self::Syntax { .. } => "InvalidJson",
            Self::WrongKind { .. }
            | Self::Missing { .. }
            | Self::TwoForms { .. }
            | Self::Tensor { .. } => "InvalidRequest",
            Self::Columns { .. } | Self::UnknownColumn { .. } => "InvalidColumns",
            Self::IndexMismatch { .. } => "IndexMismatch",
            Self::TooManyRows { .. } => "TooManyRows",
            Self::RowLength { .. } | Self::MissingCell(_) | Self::Cell { .. } => "InvalidRow",
            Self::TextNotUnicode { .. } | Self::EmptySentence { .. } => "InvalidText",
            Self::TextTooLong { .. } | Self::TooManyPrompts { .. } => "TextTooLong",
            Self::Base64 { .. } => "InvalidBase64",
        }
    }

    /// What sort of answer the broken rule deserves.
    pub fn fault(&self) -> Fault {
        match self {
            Self::TooManyRows { .. } | Self::TextTooLong { .. } | Self::TooManyPrompts { .. } => {
                Fault::TooLarge
            }
            Self::Cell { .. }
            | Self::TextNotUnicode { .. }
            | Self::EmptySentence { .. }
            | Self::Base64 { .. }
            | Self::MissingCell(_)
            | Self::RowLength { .. } => Fault::Content,
            _ => Fault::Malformed,
        }
    }

    /// The path of the value that breaks the rule, where one value does.
    pub fn target(&self) -> Option<&str> {
        match self {
            Self::WrongKind { path, .. }
            | Self::Missing { path, .. }
            | Self::Columns { path, .. }
            | Self::IndexMismatch { path, .. }
            | Self::RowLength { path, .. }
            | Self::UnknownColumn { path, .. }
            | Self::Tensor { path, .. } => Some(path),
            Self::TwoForms { second, .. } => Some(second),
            Self::NotUtf8 { path, .. } | Self::Syntax { path, .. } => {
                Some(path.as_str()).filter(|path| !path.is_empty())
            }
            Self::MissingCell(place)
            | Self::Cell { place, .. }
            | Self::TextNotUnicode { place }
            | Self::TextTooLong { place, .. }
            | Self::EmptySentence { place, .. }
            | Self::TooManyPrompts { place, .. }
            | Self::Base64 { place, .. } => Some(&place.path),
            Self::TooManyRows { .. } => None,
        }
    }
}
