//! Comma-separated values (RFC 4180), with a header.

use std::fs::File;
use std::path::Path;

use csv::{ErrorKind, ReaderBuilder, StringRecord};

use super::ManifestError;
use super::row::{Cell, Row, Table};

/// Where the cells that matter stand.
struct Columns {
    image: usize,
    text: Option<usize>,
    id: Option<usize>,
    index: Option<usize>,
}

pub(super) fn rows(path: &Path) -> Result<Table<'_>, ManifestError> {
    let single = reader(path)?.into_records().take(2).count() == 1;
    let mut reader = reader(path)?;
    let header = reader.headers().map_err(|error| refused(path, error))?;
    let columns = Columns::of(header, path)?;
    let rows = reader.into_records().map(move |record| match record {
        Ok(record) => Ok(columns.row(&record)),
        Err(error) => Err(refused(path, error)),
    });
    Ok(Table { rows: Box::new(rows), single })
}

fn reader(path: &Path) -> Result<csv::Reader<File>, ManifestError> {
    let file = File::open(path).map_err(|error| ManifestError::Io { path: path.into(), error })?;
    // A row with too few cells is the failure of that row.
    Ok(ReaderBuilder::new().flexible(true).buffer_capacity(1 << 20).from_reader(file))
}

fn refused(path: &Path, error: csv::Error) -> ManifestError {
    let reason = error.to_string();
    match error.into_kind() {
        ErrorKind::Io(error) => ManifestError::Io { path: path.into(), error },
        _ => ManifestError::Form { path: path.into(), reason },
    }
}

impl Columns {
    fn of(header: &StringRecord, path: &Path) -> Result<Self, ManifestError> {
        let names: Vec<String> = header
            .iter()
            .map(|name| name.trim_start_matches('\u{feff}').trim().to_lowercase())
            .collect();
        let at = |wanted: &str| names.iter().position(|name| name == wanted);
        let image = at("image").ok_or_else(|| ManifestError::NoImageColumn {
            path: path.into(),
            found: format!("{names:?}"),
        })?;
        Ok(Self { image, text: at("text"), id: at("id"), index: at("index").or_else(|| at("")) })
    }

    fn row(&self, record: &StringRecord) -> Row {
        let cell = |at: Option<usize>| {
            at.and_then(|at| record.get(at)).filter(|cell| !cell.is_empty()).map(str::to_owned)
        };
        Row {
            id: cell(self.id),
            index: cell(self.index),
            image: cell(Some(self.image)).map_or(Cell::Empty, Cell::Text),
            text: cell(self.text),
        }
    }
}
