//! Answers kept in a file while the work lasts, so that work that was killed goes on where it was.
//!
//! The file begins with a mark and the key of what was asked; then follow the parts' answers in their order, each with
//! its length and its checksum. What follows the last whole answer is cut off: it is where the work was killed.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use flate2::{Compression, Crc, read::ZlibDecoder, write::ZlibEncoder};

use super::PartAnswer;
use crate::classes::Category;

const MARK: &[u8; 16] = b"medparse parts1\n";

/// Longest entry that is believed; a part of a hundred million pixels and its phrases is far below.
const LONGEST: u32 = 1 << 30;

/// A file of answers.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: BufReader<File>,
    /// Where the next entry begins.
    end: u64,
    /// Whether entries may still be read.
    recalls: bool,
}

/// Why a journal can't be kept.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another program writes it.
    #[error("another run works on the same results; let it end, or write into another folder")]
    InUse,
    /// The file can't be read or written.
    #[error("cannot keep what is done in {}: {error}", path.display())]
    File {
        /// The journal.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
}

impl Journal {
    /// Opens the journal of answers with that key (see [`super::JournalKey`]); answers to anything else are forgotten.
    ///
    /// # Errors
    /// [`JournalError::InUse`] where another program has it open, [`JournalError::File`] where it can't be read or written.
    pub fn open(path: &Path, key: [u8; 32]) -> Result<Self, JournalError> {
        let failed = |error| JournalError::File { path: path.to_owned(), error };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalError::InUse),
            // A file system without locks: nobody else is looked for.
            Err(TryLockError::Error(_)) => {}
        }
        let head = [MARK.as_slice(), &key].concat();
        let mut file = BufReader::new(file);
        let mut found = vec![0; head.len()];
        let recalls = match file.read_exact(&mut found) {
            Ok(()) => found == head,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => false,
            Err(error) => return Err(failed(error)),
        };
        let mut journal = Self { path: path.to_owned(), file, end: 0, recalls };
        if recalls {
            journal.end = head.len() as u64;
        } else {
            journal.append(&head)?;
        }
        Ok(journal)
    }

    /// Removes the file: the work is done and its results are written.
    ///
    /// # Errors
    /// [`JournalError::File`] where it can't be removed.
    pub fn remove(self) -> Result<(), JournalError> {
        std::fs::remove_file(&self.path)
            .map_err(|error| JournalError::File { path: self.path, error })
    }

    /// The next part's answers; none where the next part is to be asked, and from then on.
    pub(crate) fn recall(&mut self) -> Result<Option<Vec<PartAnswer>>, JournalError> {
        if !self.recalls {
            return Ok(None);
        }
        let entry = self.entry().map_err(|error| self.failed(error))?;
        let answers = entry.as_ref().and_then(|(entry, _)| decoded(entry));
        match (answers, entry) {
            (Some(answers), Some((_, length))) => {
                self.end += length;
                Ok(Some(answers))
            }
            _ => {
                self.recalls = false;
                let cut = self.file.get_ref().set_len(self.end);
                cut.map_err(|error| self.failed(error))?;
                Ok(None)
            }
        }
    }

    /// Keeps the next part's answers.
    pub(crate) fn keep(&mut self, answers: &[PartAnswer]) -> Result<(), JournalError> {
        let entry = encoded(answers).map_err(|error| self.failed(error))?;
        let mut crc = Crc::new();
        crc.update(&entry);
        let head = [(entry.len() as u32).to_le_bytes(), crc.sum().to_le_bytes()];
        self.append(&[head.as_flattened(), &entry].concat())
    }

    /// An entry and how many bytes it takes in the file; none where there is no whole one.
    fn entry(&mut self) -> std::io::Result<Option<(Vec<u8>, u64)>> {
        let read = |file: &mut BufReader<File>, length: usize| {
            let mut bytes = Vec::new();
            let read = file.take(length as u64).read_to_end(&mut bytes)?;
            Ok::<_, std::io::Error>((read == length).then_some(bytes))
        };
        let number = |bytes: &[u8]| bytes.try_into().map_or(u32::MAX, u32::from_le_bytes);
        let Some(head) = read(&mut self.file, 8)? else { return Ok(None) };
        let (length, checksum) = (number(&head[..4]), number(&head[4..]));
        if length > LONGEST {
            return Ok(None);
        }
        let Some(entry) = read(&mut self.file, length as usize)? else { return Ok(None) };
        let mut crc = Crc::new();
        crc.update(&entry);
        Ok((crc.sum() == checksum).then_some((entry, 8 + u64::from(length))))
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), JournalError> {
        let end = self.end;
        let file = self.file.get_mut();
        let written = file
            .set_len(end)
            .and_then(|()| file.seek(SeekFrom::Start(end)))
            .and_then(|_| file.write_all(bytes));
        written.map_err(|error| self.failed(error))?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    fn failed(&self, error: std::io::Error) -> JournalError {
        JournalError::File { path: self.path.clone(), error }
    }
}

/// A part's answers, packed: masks are mostly one value.
fn encoded(answers: &[PartAnswer]) -> std::io::Result<Vec<u8>> {
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::fast());
    for answer in answers {
        packed.write_all(&[answer.category.index() as u8, u8::from(answer.presence.is_some())])?;
        packed.write_all(&answer.presence.unwrap_or_default().to_le_bytes())?;
        packed.write_all(&answer.area.to_le_bytes())?;
        packed.write_all(&(answer.values.len() as u64).to_le_bytes())?;
        packed.write_all(&answer.values)?;
    }
    packed.finish()
}

/// The reverse; none where an entry is not what [`encoded`] makes.
fn decoded(entry: &[u8]) -> Option<Vec<PartAnswer>> {
    let mut unpacked = Vec::new();
    let limit = u64::from(LONGEST) * 4;
    ZlibDecoder::new(entry).take(limit).read_to_end(&mut unpacked).ok()?;
    let mut rest = unpacked.as_slice();
    let mut answers = Vec::new();
    while !rest.is_empty() {
        let ([category, has_presence], after) = rest.split_first_chunk()?;
        let (presence, after) = after.split_first_chunk()?;
        let (area, after) = after.split_first_chunk()?;
        let (length, after) = after.split_first_chunk()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        let (values, after) = after.split_at_checked(length)?;
        answers.push(PartAnswer {
            values: values.to_vec(),
            category: Category::at(usize::from(*category)),
            area: u64::from_le_bytes(*area),
            presence: (*has_presence != 0).then(|| f64::from_le_bytes(*presence)),
        });
        rest = after;
    }
    Some(answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(value: u8) -> Vec<PartAnswer> {
        let answer = PartAnswer { values: vec![value; 100], area: 3, ..PartAnswer::nothing(0) };
        vec![PartAnswer { presence: Some(0.25), ..answer.clone() }, answer]
    }

    #[test]
    fn a_journal_keeps_answers_to_its_own_question_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mut journal = Journal::open(&path, [1; 32]).unwrap();
        assert_eq!(journal.recall().unwrap(), None);
        journal.keep(&answers(9)).unwrap();
        assert!(matches!(Journal::open(&path, [1; 32]), Err(JournalError::InUse)));
        drop(journal);
        let mut journal = Journal::open(&path, [1; 32]).unwrap();
        assert_eq!(journal.recall().unwrap(), Some(answers(9)));
        assert_eq!(journal.recall().unwrap(), None);
        journal.keep(&answers(10)).unwrap();
        drop(journal);
        let mut other = Journal::open(&path, [2; 32]).unwrap();
        assert_eq!(other.recall().unwrap(), None);
    }

    #[test]
    fn no_damage_is_taken_for_an_answer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mut journal = Journal::open(&path, [1; 32]).unwrap();
        journal.keep(&answers(1)).unwrap();
        journal.keep(&answers(2)).unwrap();
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            let mut cut = whole[..length].to_vec();
            for flipped in [false, true] {
                if flipped && let Some(last) = cut.last_mut() {
                    *last ^= 1;
                }
                std::fs::write(&path, &cut).unwrap();
                let mut journal = Journal::open(&path, [1; 32]).unwrap();
                let first = journal.recall().unwrap();
                assert!(first.is_none() || first == Some(answers(1)), "{length}");
                assert!(journal.recall().unwrap().is_none(), "{length}");
                journal.keep(&answers(3)).unwrap();
                drop(journal);
                let mut journal = Journal::open(&path, [1; 32]).unwrap();
                let last = std::iter::from_fn(|| journal.recall().unwrap()).last();
                assert_eq!(last, Some(answers(3)), "{length}: what is kept after a cut is found");
            }
        }
    }
}
