//! What can go wrong, in sentences.

use std::path::{Path, PathBuf};

use crate::Format;

/// Why bytes did not become a picture or a picture did not become bytes.
///
/// Each sentence is complete by itself; it never holds pixels or text from inside a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read.
    #[error("cannot read {}: {reason}", path.display())]
    Read {
        /// The file that was asked for.
        path: PathBuf,
        /// Why not.
        reason: IoReason,
    },
    /// A file could not be written.
    #[error("cannot write {}: {reason}", path.display())]
    Write {
        /// The file that was to be written.
        path: PathBuf,
        /// Why not.
        reason: IoReason,
    },
    /// A file was read, but what it holds was refused.
    #[error("{}: {error}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// Why its contents were refused.
        error: Box<Error>,
    },
    /// The bytes are of no format this crate reads.
    #[error(
        "not a picture that can be read: the bytes look like {looks_like}, accepted are {accepted}"
    )]
    UnknownFormat {
        /// What the first bytes look like, such as "a DICOM file".
        looks_like: String,
        /// The formats that would have been read.
        accepted: &'static str,
    },
    /// The bytes end before the picture does.
    #[error("the {format} is truncated: it ends after {} bytes, {place}", crate::grouped(*bytes as u64))]
    Truncated {
        /// The format of the file.
        format: Format,
        /// How many bytes there are.
        bytes: usize,
        /// How far the picture had come.
        place: Place,
    },
    /// The bytes break their format's rules.
    #[error("the {format} is damaged: {detail}")]
    Damaged {
        /// The format of the file.
        format: Format,
        /// The rule that was broken.
        detail: String,
    },
    /// The file is sound but of a kind this crate does not read.
    #[error("this kind of {format} is not supported: {detail}")]
    Unsupported {
        /// The format of the file.
        format: Format,
        /// The kind.
        detail: String,
    },
    /// The file asks for more than [`Limits`](crate::Limits) allows.
    #[error("too large: {claim}, the limit is {limit}")]
    OverLimit {
        /// What the file claims.
        claim: String,
        /// What is allowed.
        limit: String,
    },
    /// A picture or mask without pixels.
    #[error("a picture needs at least one pixel, this one is {width}×{height}")]
    Empty {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// A buffer does not have one entry per sample.
    #[error("{what} of {width}×{height} pixels need {expected} values, found {found}")]
    WrongLength {
        /// What the buffer holds.
        what: &'static str,
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Entries that the size asks for.
        expected: u64,
        /// Entries in the buffer.
        found: usize,
    },
    /// Two things that lie on the same pixels have different sizes.
    #[error("{what}: expected {}×{} pixels, found {}×{}", expected.0, expected.1, found.0, found.1)]
    SizesDiffer {
        /// What was compared.
        what: String,
        /// The size it must have.
        expected: (u32, u32),
        /// The size it has.
        found: (u32, u32),
    },
    /// A buffer does not have one entry a voxel, or there is no voxel.
    #[error(
        "a volume of {}×{}×{} voxels needs one value for each and at least one voxel, found {found}",
        dimensions[0], dimensions[1], dimensions[2]
    )]
    WrongVolume {
        /// Columns, rows, slices.
        dimensions: [usize; 3],
        /// Entries in the buffer.
        found: usize,
    },
    /// A slice that is not there.
    #[error("slice {asked} was asked for, the volume has slices 0 to {}", slices.saturating_sub(1))]
    NoSlice {
        /// The slice, from 0.
        asked: usize,
        /// How many there are.
        slices: usize,
    },
    /// The files of a folder do not make one volume.
    #[error("the folder does not hold one series: {detail}")]
    Series {
        /// What is in the way.
        detail: String,
    },
    /// What was found cannot be written in this format.
    #[error("cannot write {format}: {detail}")]
    CannotWrite {
        /// The output format.
        format: &'static str,
        /// Why not.
        detail: String,
    },
    /// A PNG could not be encoded.
    #[error("cannot encode {width}×{height} pixels as PNG: {detail}")]
    Encode {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Why not.
        detail: String,
    },
}

impl Error {
    /// The same, said of the file that it was met in.
    pub(crate) fn in_file(self, path: &Path) -> Self {
        Self::InFile { path: path.to_owned(), error: Box::new(self) }
    }
}

/// Refuses a picture without pixels, and a buffer of other than `channels` values a pixel.
pub(crate) fn check_length(
    what: &'static str,
    (width, height): (u32, u32),
    channels: u64,
    found: usize,
) -> Result<(), Error> {
    if width == 0 || height == 0 {
        return Err(Error::Empty { width, height });
    }
    let expected = u64::from(width) * u64::from(height) * channels;
    if found as u64 != expected {
        return Err(Error::WrongLength { what, width, height, expected, found });
    }
    Ok(())
}

/// How far into a picture its bytes reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// Before the first pixel.
    Header,
    /// Between rows.
    Row {
        /// Rows that are complete.
        complete: u32,
        /// Rows that were promised.
        of: u32,
    },
    /// Within the passes of an interlaced PNG.
    Passes,
    /// Within a scan of a JPEG.
    Scan {
        /// The scan, from 1.
        number: usize,
    },
    /// Between the voxels of a volume.
    Voxels {
        /// Voxels that are complete.
        complete: u64,
        /// Voxels that were promised.
        of: u64,
    },
    /// Within compressed data that hold the whole volume.
    Compressed {
        /// Bytes that could be unpacked.
        unpacked: u64,
    },
    /// Within the compressed pixels of one frame.
    Frame {
        /// The frame, from 1.
        number: usize,
    },
    /// After the pixels, before the format's closing mark (`IEND`, `EOI`).
    End,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Header => f.write_str("before its first pixel"),
            Self::Row { complete, of } => write!(f, "with {complete} of {of} rows complete"),
            Self::Passes => f.write_str("within its interlaced rows"),
            Self::Scan { number } => write!(f, "in the pixels of scan {number}"),
            Self::Voxels { complete, of } => {
                write!(
                    f,
                    "with {} of {} voxels complete",
                    crate::grouped(*complete),
                    crate::grouped(*of)
                )
            }
            Self::Compressed { unpacked } => {
                write!(f, "with {} bytes unpacked", crate::grouped(*unpacked))
            }
            Self::Frame { number } => write!(f, "within the pixels of frame {number}"),
            Self::End => f.write_str("before its closing mark"),
        }
    }
}

/// Why the operating system refused a file, in the user's words.
#[derive(Debug)]
pub struct IoReason(pub(crate) std::io::Error);

impl IoReason {
    /// The operating system's own account.
    pub fn kind(&self) -> std::io::ErrorKind {
        self.0.kind()
    }
}

impl std::fmt::Display for IoReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use std::io::ErrorKind as Kind;
        match self.0.kind() {
            Kind::NotFound => f.write_str("no such file or folder"),
            Kind::PermissionDenied => f.write_str("no permission"),
            Kind::IsADirectory => f.write_str("it is a folder"),
            Kind::NotADirectory => f.write_str("a part of its path is a file, not a folder"),
            Kind::StorageFull => f.write_str("the disk is full"),
            Kind::QuotaExceeded => f.write_str("the disk quota is used up"),
            Kind::ReadOnlyFilesystem => f.write_str("the file system is read-only"),
            Kind::FileTooLarge => f.write_str("the file system does not take files this large"),
            Kind::InvalidFilename => f.write_str("the file system does not take this name"),
            _ => self.0.fmt(f),
        }
    }
}
