//! Which pictures were meant.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Endings that are taken for pictures inside a folder; a file that is named is taken as it is.
const ENDINGS: [&str; 3] = ["png", "jpg", "jpeg"];

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
        if kind.is_dir() {
            let before = inputs.len();
            search(path, Path::new(""), &mut inputs)?;
            if inputs.len() == before {
                let endings = ENDINGS.join(", .");
                bail!("{} holds no pictures; expected files ending in .{endings}", path.display());
            }
        } else {
            inputs.push(Input { path: path.clone(), name: super::stem(path).into() });
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
        if kind.is_dir() {
            search(&path, &below.join(entry.file_name()), inputs)?;
        } else if is_picture(&path) {
            inputs.push(Input { name: below.join(super::stem(&path)), path });
        }
    }
    Ok(())
}

fn is_picture(path: &Path) -> bool {
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
    fn an_empty_folder_and_a_missing_file_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let error = find(&[folder.path().into()]).unwrap_err().to_string();
        assert!(error.contains("holds no pictures; expected files ending in .png"), "{error}");
        let error = find(&["no/such.png".into()]).unwrap_err();
        assert!(
            format!("{error:#}").contains("cannot read no/such.png: No such file"),
            "{error:#}"
        );
    }
}
