//! Writing PyTorch's `.pt` files.

use std::io::Write;
use std::mem::ManuallyDrop;
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::atomic::write_atomically;
use crate::source::{stream, total_bytes};
use crate::torch_pickle;
use crate::{Progress, TensorSource, WeightsError};

/// `torch.save` aligns every entry's bytes so, for reading by memory map.
const ALIGNMENT: u16 = 64;

/// The archive's folder where the path has no usable stem.
const DEFAULT_FOLDER: &str = "archive";

/// Writes a state dict as `torch.save` does, atomically and one tensor in memory at a time.
///
/// `torch.load(path, weights_only=True)` reads it. The same tensors under the same file name give the same bytes.
/// `progress` is called after each tensor.
///
/// # Errors
///
/// [`WeightsError::BadName`] for a name given twice, [`WeightsError::Io`] naming the path, and whatever the sources report;
/// the path then is as it was before.
pub fn write_torch(
    path: impl AsRef<Path>,
    tensors: &[TensorSource<'_>],
    progress: &mut dyn FnMut(Progress),
) -> Result<(), WeightsError> {
    let path = path.as_ref();
    let total = total_bytes(path, tensors)?;
    let folder = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or(DEFAULT_FOLDER);
    write_atomically(path, |file| {
        let stored = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .with_alignment(ALIGNMENT);
        // Dropped unfinished, a writer tries to finish and reports on stderr: after an error it is left as it is.
        let mut zip = ManuallyDrop::new(ZipWriter::new(file));
        for (name, content) in [
            ("data.pkl", torch_pickle::state_dict(tensors).as_slice()),
            ("byteorder", b"little".as_slice()),
        ] {
            zip.start_file(format!("{folder}/{name}"), stored)?;
            zip.write_all(content)?;
        }
        stream(path, tensors.iter(), total, progress, |key, bytes| {
            // A zip entry of 4 GiB and more needs 64-bit sizes, which must be known beforehand.
            let large = bytes.len() as u64 >= u64::from(u32::MAX);
            zip.start_file(format!("{folder}/data/{key}"), stored.large_file(large))?;
            Ok(zip.write_all(bytes)?)
        })?;
        zip.start_file(format!("{folder}/version"), stored)?;
        zip.write_all(b"3\n")?;
        ManuallyDrop::into_inner(zip).finish()?;
        Ok(())
    })
}
