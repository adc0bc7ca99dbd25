//! Lists of pictures: CSV, JSON lines, Parquet, or the files of a folder.
//!
//! A table has a column `image` with paths (relative ones start at the manifest's folder), base64 or,
//! in Parquet, bytes. It may have `text`, the phrases of that picture separated by `&`, and `id`, the
//! name of its outputs. A column without a name, or called `index`, numbers the rows, as pandas writes
//! it; other columns are left alone. This is the input of Azure's batch endpoints, too: a folder of CSV
//! files with an index, `image` in base64 and `text`.

mod csv;
mod jsonl;
mod parquet;
mod row;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::Item;
use crate::item::NameFault;
use row::Table;

/// A list of pictures.
#[derive(Debug, Clone)]
pub struct Manifest {
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    /// Pictures by name.
    Files(Vec<(String, PathBuf)>),
    Tables(Vec<PathBuf>),
}

/// The items of a manifest, or what is wrong with its files.
pub type Items<'a> = Box<dyn Iterator<Item = Result<Item, ManifestError>> + Send + 'a>;

/// Why a manifest can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// A file can't be read.
    #[error("cannot read {}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
    /// A file is not of the form that its ending names.
    #[error("{}: {reason}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The column that is needed is not there.
    #[error(
        "{} has no column \"image\"; expected \"image\" (paths or base64), and perhaps \"text\" and \"id\", found {found}",
        path.display()
    )]
    NoImageColumn {
        /// The file.
        path: PathBuf,
        /// The columns it has.
        found: String,
    },
    /// The ending is none of a manifest's.
    #[error("{} is no manifest: expected a file that ends in .csv, .jsonl, .ndjson or .parquet", path.display())]
    Ending {
        /// The file.
        path: PathBuf,
    },
    /// A row's name can't be used.
    #[error("{}, row {row}: {fault}", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// Which row, from 1.
        row: usize,
        /// What is wrong with the name.
        fault: NameFault,
    },
    /// Two items would write the same files.
    #[error("two items are called {name:?}; give each row an \"id\" of its own")]
    SameName {
        /// The name.
        name: String,
    },
}

/// Endings of manifests.
const ENDINGS: [&str; 4] = ["csv", "jsonl", "ndjson", "parquet"];

/// Whether a file's name has the ending of a manifest.
pub fn is_manifest(path: &Path) -> bool {
    ENDINGS.contains(&ending(path).as_str())
}

fn ending(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

impl Manifest {
    /// Pictures that were found elsewhere, with the names of their outputs.
    pub fn of_files(files: Vec<(String, PathBuf)>) -> Self {
        Self { source: Source::Files(files) }
    }

    /// A manifest, or a folder of them, which is read in the order of its names.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(path: &Path) -> Result<Self, ManifestError> {
        let read = |error| ManifestError::Io { path: path.into(), error };
        if !std::fs::metadata(path).map_err(read)?.is_dir() {
            return match is_manifest(path) {
                true => Ok(Self { source: Source::Tables(vec![path.into()]) }),
                false => Err(ManifestError::Ending { path: path.into() }),
            };
        }
        let mut tables = tables_of(path).map_err(read)?;
        if tables.is_empty() {
            return Err(ManifestError::Ending { path: path.into() });
        }
        tables.sort();
        Ok(Self { source: Source::Tables(tables) })
    }

    /// Whether its items are rows of tables.
    pub fn is_table(&self) -> bool {
        matches!(self.source, Source::Tables(_))
    }

    /// Whether the first row carries its picture inside the table, as Azure's batch input does.
    ///
    /// # Errors
    /// When the first table can't be read.
    pub fn is_inline(&self) -> Result<bool, ManifestError> {
        if !self.is_table() {
            return Ok(false);
        }
        let first = self.items()?.next().transpose()?;
        Ok(first.is_some_and(|item| {
            matches!(item.image, crate::Image::Base64(_) | crate::Image::Bytes(_))
        }))
    }

    /// Its items in their order; rows that hold no picture are items too, which say why.
    ///
    /// # Errors
    /// When a table can't be opened.
    pub fn items(&self) -> Result<Items<'_>, ManifestError> {
        match &self.source {
            Source::Files(files) => Ok(Box::new(files.iter().map(|(name, path)| {
                let fault = |fault| ManifestError::Name { path: path.clone(), row: 1, fault };
                Item::of_file(name, path.clone(), None).map_err(fault)
            }))),
            Source::Tables(paths) => {
                let several = paths.len() > 1;
                Ok(Box::new(paths.iter().flat_map(move |path| rows_of(path, several))))
            }
        }
    }

    /// How many items there are for which `counts` says yes; reads everything once, and so finds what
    /// is wrong before the first picture is looked at.
    ///
    /// # Errors
    /// When a file can't be read, or two items have the same name.
    pub fn count(&self, mut counts: impl FnMut(&Item) -> bool) -> Result<u64, ManifestError> {
        let mut names = HashSet::new();
        let mut count = 0;
        for item in self.items()? {
            let item = item?;
            count += u64::from(counts(&item));
            if let Some(name) = names.replace(item.name) {
                return Err(ManifestError::SameName { name });
            }
        }
        Ok(count)
    }
}

fn tables_of(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut tables = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() && is_manifest(&path) {
            tables.push(path);
        }
    }
    Ok(tables)
}

/// The items of one table, or why it cannot be read.
fn rows_of(path: &Path, several: bool) -> Items<'_> {
    let rows: Result<Table<'_>, ManifestError> = match ending(path).as_str() {
        "csv" => csv::rows(path),
        "parquet" => parquet::rows(path),
        _ => jsonl::rows(path),
    };
    match rows {
        Err(error) => Box::new(std::iter::once(Err(error))),
        Ok(Table { rows, single }) => {
            let place = row::Place { path, several, single };
            Box::new(rows.zip(1..).map(move |(row, number)| place.item(row?, number)))
        }
    }
}

#[cfg(test)]
mod tests;
