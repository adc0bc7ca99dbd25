//! Apache Parquet: strings, numbers and bytes in flat columns; uncompressed, Snappy or Zstandard.

use std::fs::File;
use std::path::Path;

use parquet::errors::ParquetError;
use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::record::{Field, Row as Record};
use parquet::schema::types::Type;

use super::ManifestError;
use super::row::{Cell, Row, Table};

const COLUMNS: [&str; 5] = ["image", "text", "id", "index", "__index_level_0__"];

pub(super) fn rows(path: &Path) -> Result<Table<'_>, ManifestError> {
    let file = File::open(path).map_err(|error| ManifestError::Io { path: path.into(), error })?;
    let refuse = move |error: ParquetError| ManifestError::Form {
        path: path.into(),
        reason: error.to_string(),
    };
    let reader = SerializedFileReader::new(file).map_err(refuse)?;
    let metadata = reader.metadata().file_metadata();
    let single = metadata.num_rows() == 1;
    let root = metadata.schema();
    let columns = root.get_fields();
    if !columns.iter().any(|column| column.name() == "image") {
        let found: Vec<&str> = columns.iter().map(|column| column.name()).collect();
        return Err(ManifestError::NoImageColumn {
            path: path.into(),
            found: format!("{found:?}"),
        });
    }
    // Only what matters is read. A part of the schema bears its root's name, which each writer chooses otherwise.
    let wanted = columns.iter().filter(|column| COLUMNS.contains(&column.name()));
    let schema = Type::group_type_builder(root.name()).with_fields(wanted.cloned().collect());
    let schema = schema.build().map_err(refuse)?;
    let records = reader.into_iter().project(Some(schema)).map_err(refuse)?;
    Ok(Table {
        rows: Box::new(records.map(move |record| Ok(row(&record.map_err(refuse)?)))),
        single,
    })
}

fn row(record: &Record) -> Row {
    let mut row = Row::default();
    for (name, field) in record.get_column_iter() {
        match name.as_str() {
            "image" => row.image = cell(field),
            "text" => row.text = text(field),
            "id" => row.id = text(field),
            _ => row.index = text(field),
        }
    }
    row
}

fn cell(field: &Field) -> Cell {
    match field {
        Field::Null => Cell::Empty,
        Field::Str(text) => Cell::Text(text.clone()),
        Field::Bytes(bytes) => match std::str::from_utf8(bytes.data()) {
            // Written without a word on what the bytes mean; no picture's bytes are text.
            Ok(text) => Cell::Text(text.to_owned()),
            Err(_) => Cell::Bytes(bytes.data().to_vec()),
        },
        // As the `datasets` package writes pictures: {bytes, path}.
        Field::Group(group) => {
            let part = |wanted: &str| {
                let mut parts = group.get_column_iter();
                parts.find(|(name, field)| *name == wanted && **field != Field::Null)
            };
            match (part("bytes"), part("path")) {
                (Some((_, field)), _) | (None, Some((_, field))) => match field {
                    Field::Group(_) => Cell::Wrong("a group of groups".into()),
                    field => cell(field),
                },
                (None, None) => Cell::Empty,
            }
        }
        other => Cell::Wrong(format!("the value {other}")),
    }
}

fn text(field: &Field) -> Option<String> {
    match field {
        Field::Null => None,
        Field::Str(text) => Some(text.clone()),
        Field::Bytes(bytes) => std::str::from_utf8(bytes.data()).ok().map(str::to_owned),
        other => Some(other.to_string()),
    }
}
