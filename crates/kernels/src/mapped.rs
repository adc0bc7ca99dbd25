//! A file as read-only memory: its pages come from disk when they are first touched.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;

/// The bytes of a whole file, mapped read-only and shared between threads.
///
/// # What the caller must know
///
/// The mapping shows the file itself, not a copy. While it lives,
/// * a program that overwrites the file in place changes the bytes seen here between two reads, so a check made once
///   does not stay made: every reader must be safe for any bytes at any time;
/// * a program that shortens the file makes the lost pages unreadable, and touching one ends the process with a bus error.
///
/// Replacing the file by a rename, as this project writes every file, does neither: the mapping keeps the old one.
#[derive(Debug)]
pub struct MappedFile {
    map: Mmap,
}

impl MappedFile {
    /// Opens and maps the file at `path`; an empty file gives an empty mapping.
    ///
    /// # Errors
    ///
    /// The operating system's own: no such file, no permission, not a regular file, no address space left.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::of(&File::open(path)?)
    }

    /// Maps a file that is already open; the mapping outlives the handle.
    fn of(file: &File) -> io::Result<Self> {
        // SAFETY: the mapping is private to this value, read-only and unmapped with it, and memmap2 takes its length from
        // the file. What remains is that another process may modify or shorten the file: the bytes are only ever handed
        // out as `u8`, for which every bit pattern is valid, and the two consequences are part of this type's contract
        // (see "What the caller must know"); no API of the operating system can rule them out.
        let map = unsafe { Mmap::map(file)? };
        Ok(Self { map })
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::PathBuf;

    fn scratch(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("medparse-mapped-{}-{name}", std::process::id()))
    }

    #[test]
    fn a_mapping_equals_a_plain_read_at_odd_sizes() {
        let path = scratch("sizes");
        for size in [0, 1, 7, 4095, 4096, 4097, 100_003] {
            let bytes: Vec<u8> = (0..size).map(|i| (i * 31 % 251) as u8).collect();
            fs::write(&path, &bytes).unwrap();
            let map = MappedFile::open(&path).unwrap();
            assert_eq!(&*map, &*fs::read(&path).unwrap(), "{size} bytes");
        }
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_mapping_outlives_its_handle_and_a_replacement_of_its_path() {
        let (path, other) = (scratch("old"), scratch("new"));
        fs::write(&path, b"old bytes").unwrap();
        fs::write(&other, b"new").unwrap();
        let map = MappedFile::of(&File::open(&path).unwrap()).unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!(&*map, b"old bytes");
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn threads_share_a_mapping() {
        let path = scratch("threads");
        fs::write(&path, vec![7u8; 10_001]).unwrap();
        let map = MappedFile::open(&path).unwrap();
        let sums: Vec<u64> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| map.iter().map(|&byte| u64::from(byte)).sum()))
                .collect();
            workers.into_iter().map(|w| w.join().unwrap()).collect()
        });
        assert_eq!(sums, [70_007; 4]);
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_missing_file_and_a_folder_are_errors() {
        assert_eq!(
            MappedFile::open(scratch("absent")).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        assert!(MappedFile::open(std::env::temp_dir()).is_err());
    }
}
