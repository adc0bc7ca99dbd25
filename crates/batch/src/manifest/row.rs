//! From the cells of a row to an item.

use std::path::Path;

use super::ManifestError;
use crate::Item;
use crate::item::{Image, NameFault, safe_name};

/// The cells of a row that matter.
#[derive(Debug, Default)]
pub(super) struct Row {
    pub id: Option<String>,
    /// What numbers the row.
    pub index: Option<String>,
    pub image: Cell,
    pub text: Option<String>,
}

/// What stands where the picture should.
#[derive(Debug, Default)]
pub(super) enum Cell {
    #[default]
    Empty,
    Text(String),
    Bytes(Vec<u8>),
    /// Something that is no picture, and what it is.
    Wrong(String),
}

/// The rows of a table.
pub(super) struct Table<'a> {
    pub rows: Box<dyn Iterator<Item = Result<Row, ManifestError>> + Send + 'a>,
    /// Whether there is one row only.
    pub single: bool,
}

/// Where rows come from.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub path: &'a Path,
    /// Whether the table is one of several.
    pub several: bool,
    pub single: bool,
}

impl Place<'_> {
    /// The `number`th row's item, from 1.
    pub fn item(&self, row: Row, number: usize) -> Result<Item, ManifestError> {
        let image = self.image(row.image);
        let file = self.path.file_name().unwrap_or_default().to_string_lossy();
        let index = row.index.unwrap_or_else(|| (number - 1).to_string());
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy();
        let name = match (&row.id, &image) {
            (Some(id), _) => id.clone(),
            (None, Image::File(path)) => name_of(path, self.path),
            // Rows are counted, because an index may come twice.
            (None, _) if self.single => stem.into_owned(),
            (None, _) => format!("{stem}-{}", number - 1),
        };
        let label = match (self.single, self.several) {
            _ if row.id.is_some() => name.clone(),
            (true, _) => file.into_owned(),
            (false, false) => index,
            (false, true) => format!("{file}#{index}"),
        };
        let fault =
            |fault: NameFault| ManifestError::Name { path: self.path.into(), row: number, fault };
        let text = row.text.filter(|text| !text.trim().is_empty());
        Ok(Item { name: safe_name(&name).map_err(fault)?, label, image, text })
    }

    fn image(&self, cell: Cell) -> Image {
        match cell {
            Cell::Empty => Image::Missing("its row has no picture".into()),
            Cell::Wrong(found) => {
                Image::Missing(format!("its row has {found} where the picture should be"))
            }
            Cell::Bytes(bytes) => Image::Bytes(bytes),
            Cell::Text(text) if is_base64(&text) => Image::Base64(text),
            Cell::Text(text) => {
                let folder = self.path.parent().unwrap_or(Path::new(""));
                Image::File(folder.join(text.trim()))
            }
        }
    }
}

/// The name of a picture's outputs: its path below the manifest's folder, or its own name.
fn name_of(image: &Path, manifest: &Path) -> String {
    let folder = manifest.parent().unwrap_or(Path::new(""));
    let below = image.strip_prefix(folder).unwrap_or(image);
    let name = below.file_name().unwrap_or_default().to_string_lossy();
    let split = name.len().checked_sub(".nii.gz".len()).and_then(|at| name.split_at_checked(at));
    let stem = match split {
        Some((stem, ending)) if ending.eq_ignore_ascii_case(".nii.gz") => stem.to_owned(),
        _ => Path::new(&*name).file_stem().unwrap_or_default().to_string_lossy().into_owned(),
    };
    let stays = below.is_relative() && safe_name(&below.to_string_lossy()).is_ok();
    match below.parent() {
        Some(parent) if stays => parent.join(stem).to_string_lossy().into_owned(),
        _ => stem,
    }
}

/// Whether a cell is a picture rather than its path: base64 has no point, and every picture's begins
/// with its format's signature.
fn is_base64(text: &str) -> bool {
    /// PNG, JPEG, GIF, TIFF in both byte orders, BMP, gzip.
    const BEGINNINGS: [&str; 7] =
        ["iVBORw0KGgo", "/9j/", "R0lGOD", "SUkqAA", "TU0AKg", "Qk", "H4sI"];
    let text = text.trim_start();
    BEGINNINGS.iter().any(|beginning| text.starts_with(beginning))
        && text.len() > 64
        && !text.contains(['.', '\\'])
}
