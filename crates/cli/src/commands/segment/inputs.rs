//! Which pictures were meant.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use medparse_imaging::{Format, Limits, series_sizes};

/// Endings that are taken for pictures inside a folder; a file that is named is taken as it is.
const ENDINGS: [&str; 9] = ["png", "jpg", "jpeg", "tif", "tiff", "bmp", "dcm", "nii", "nrrd"];

/// A picture, and where its results go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The file.
    pub path: PathBuf,
    /// The subfolder of the output and the beginning of the results' names, as in `day1/scan`.
    pub name: PathBuf,
}

/// All pictures of files and folders, in the order given, folders sorted by name.
pub fn find(paths: &[PathBuf]) -> Result<Vec<Input>> {
    let mut inputs = Vec::new();
    for path in paths {
        let kind =
            std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
        if kind.is_dir() && holds_series(path)? {
            let name = path.canonicalize().unwrap_or_else(|_| path.clone());
            inputs.push(Input {
                path: path.clone(),
                name: name.file_name().unwrap_or_default().into(),
            });
        } else if kind.is_dir() {
            let before = inputs.len();
            search(path, Path::new(""), &mut inputs)?;
            if inputs.len() == before {
                let endings = ENDINGS.join(", .");
                bail!(
                    "{} holds no pictures; expected DICOM files, or files ending in .{endings}",
                    path.display()
                );
            }
        } else {
            inputs.push(Input { path: path.clone(), name: stem(path).into() });
        }
    }
    Ok(inputs)
}

fn search(folder: &Path, below: &Path, inputs: &mut Vec<Input>) -> Result<()> {
    let reading = || format!("cannot read {}", folder.display());
    let entries: std::io::Result<Vec<_>> =
        std::fs::read_dir(folder).with_context(reading)?.collect();
    let mut entries = entries.with_context(reading)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let kind = entry.file_type().with_context(reading)?;
        if kind.is_dir() && holds_series(&path)? {
            inputs.push(Input { name: below.join(entry.file_name()), path });
        } else if kind.is_dir() {
            search(&path, &below.join(entry.file_name()), inputs)?;
        } else if is_picture(&path) || (kind.is_file() && is_dicom(&path)) {
            inputs.push(Input { name: below.join(stem(&path)), path });
        }
    }
    Ok(())
}

/// Whether a folder's own files are DICOM and slices of volumes rather than pictures, each a series of its own as
/// radiographs are.
fn holds_series(folder: &Path) -> Result<bool> {
    let reading = || format!("cannot read {}", folder.display());
    let mut slices = 0;
    for entry in std::fs::read_dir(folder).with_context(reading)? {
        let entry = entry.with_context(reading)?;
        if entry.file_type().with_context(reading)?.is_file() && is_dicom(&entry.path()) {
            slices += 1;
        }
        if slices > 1 {
            let sizes = series_sizes(folder, &Limits::default())?;
            return Ok(sizes.is_empty() || sizes.iter().any(|files| *files > 1));
        }
    }
    Ok(false)
}

/// Whether a file bears DICOM's mark and is no table of contents, as discs have.
fn is_dicom(path: &Path) -> bool {
    use std::io::Read;
    if path.file_name().is_some_and(|name| name.eq_ignore_ascii_case("DICOMDIR")) {
        return false;
    }
    let mut head = [0; 132];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut head));
    read.is_ok() && Format::sniff(&head) == Some(Format::Dicom)
}

/// The name of a file without its folder and ending, for people; a number is no ending, as of DICOM files that are
/// named by their UID.
pub fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let compressed =
        name.len().checked_sub(".nii.gz".len()).and_then(|at| name.split_at_checked(at));
    match compressed {
        Some((stem, ending)) if ending.eq_ignore_ascii_case(".nii.gz") => stem.to_owned(),
        _ => {
            let is_digit = |letter: char| letter.is_ascii_digit();
            let is_number =
                |ending: &std::ffi::OsStr| ending.to_string_lossy().chars().all(is_digit);
            let whole = path.extension().is_some_and(is_number);
            let stem = if whole { path.file_name() } else { path.file_stem() };
            stem.unwrap_or_default().to_string_lossy().into_owned()
        }
    }
}

fn is_picture(path: &Path) -> bool {
    if path
        .file_name()
        .is_some_and(|name| name.to_string_lossy().to_lowercase().ends_with(".nii.gz"))
    {
        return true;
    }
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    ENDINGS.contains(&ending.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_searched_in_order_and_keep_their_shape() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.png", "a.JPG", "notes.txt", "deep/er/c.jpeg"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"").unwrap();
        }
        let inputs = find(&[folder.path().into()]).unwrap();
        let names: Vec<_> = inputs.iter().map(|input| input.name.to_str().unwrap()).collect();
        assert_eq!(names, ["a", "b", "deep/er/c"]);
    }

    #[test]
    fn numbers_are_no_endings() {
        for (path, name) in [
            ("a/scan.dcm", "scan"),
            ("scan.NII.gz", "scan"),
            ("v1.2.png", "v1.2"),
            ("CT.1.2.840.16583", "CT.1.2.840.16583"),
            ("IM0", "IM0"),
        ] {
            assert_eq!(stem(Path::new(path)), name);
        }
    }

    #[test]
    fn an_empty_folder_and_a_missing_file_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let error = find(&[folder.path().into()]).unwrap_err().to_string();
        assert!(
            error.contains("holds no pictures; expected DICOM files, or files ending in .png"),
            "{error}"
        );
        let error = find(&["no/such.png".into()]).unwrap_err();
        assert!(
            format!("{error:#}").contains("cannot read no/such.png: No such file"),
            "{error:#}"
        );
    }
}
