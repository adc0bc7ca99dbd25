//! JSON lines: one object a line.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde_json::Value;

use super::ManifestError;
use super::row::{Cell, Row, Table};

pub(super) fn rows(path: &Path) -> Result<Table<'_>, ManifestError> {
    let single = lines(path)?.take(2).count() == 1;
    let rows = lines(path)?.map(|line| Ok(row(&line?)));
    Ok(Table { rows: Box::new(rows), single })
}

/// The lines that hold something.
fn lines(
    path: &Path,
) -> Result<impl Iterator<Item = Result<String, ManifestError>> + Send + '_, ManifestError> {
    let io = move |error| ManifestError::Io { path: path.into(), error };
    let file = BufReader::with_capacity(1 << 20, File::open(path).map_err(io)?);
    let lines = file.lines().map(move |line| line.map_err(io));
    Ok(lines.filter(|line| line.as_ref().map_or(true, |line| !line.trim().is_empty())))
}

fn row(line: &str) -> Row {
    // Some writers begin a file with a byte order mark.
    let value: Value = match serde_json::from_str(line.trim_start_matches('\u{feff}')) {
        Ok(value) => value,
        Err(error) => {
            let image = Cell::Wrong(format!("a line that is no JSON ({error})"));
            return Row { image, ..Row::default() };
        }
    };
    let text = |name: &str| match &value[name] {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        // Phrases as a list.
        Value::Array(phrases) => {
            let phrases: Option<Vec<&str>> = phrases.iter().map(Value::as_str).collect();
            phrases.map(|phrases| phrases.join("&"))
        }
        _ => None,
    };
    let image = match &value["image"] {
        Value::String(text) => Cell::Text(text.clone()),
        Value::Null => Cell::Empty,
        Value::Bool(_) => Cell::Wrong("a boolean".into()),
        Value::Number(_) => Cell::Wrong("a number".into()),
        Value::Array(_) => Cell::Wrong("a list".into()),
        Value::Object(_) => Cell::Wrong("an object".into()),
    };
    Row { id: text("id"), index: text("index"), image, text: text("text") }
}
