//! NumPy's `.npz`: a zip archive of arrays (NumPy, "NEP 1: a simple file format for NumPy arrays").

use std::io::{Cursor, Write};

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::Findings;

/// `masks` and, where known, `probabilities` as `[target, slice, row, column]` of bytes; `labels` as text; `affine` from
/// `[column, row, slice]` to LPS mm.
pub(crate) fn bytes(findings: &Findings) -> zip::result::ZipResult<Vec<u8>> {
    let [columns, rows, slices] = findings.volume.dimensions();
    let shape = [findings.targets.len(), slices, rows, columns];
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let masks = findings.targets.iter().map(|target| target.voxels.as_slice());
    array(&mut archive, "masks", "|u1", &shape, masks)?;
    let probabilities: Option<Vec<&[u8]>> =
        findings.targets.iter().map(|target| target.probabilities.as_deref()).collect();
    if let Some(probabilities) = probabilities {
        array(&mut archive, "probabilities", "|u1", &shape, probabilities.into_iter())?;
    }
    let longest = findings
        .targets
        .iter()
        .map(|target| target.label.chars().count())
        .max()
        .unwrap_or(0)
        .max(1);
    let text: Vec<u8> = findings
        .targets
        .iter()
        .flat_map(|target| {
            let padded = target.label.chars().map(u32::from).chain(std::iter::repeat(0));
            padded.take(longest).flat_map(u32::to_le_bytes).collect::<Vec<u8>>()
        })
        .collect();
    array(
        &mut archive,
        "labels",
        &format!("<U{longest}"),
        &shape[..1],
        [text.as_slice()].into_iter(),
    )?;
    if let Some(grid) = findings.volume.grid() {
        let numbers = grid.affine().into_iter().flatten().chain([0.0, 0.0, 0.0, 1.0]);
        let numbers: Vec<u8> = numbers.flat_map(f64::to_le_bytes).collect();
        array(&mut archive, "affine", "<f8", &[4, 4], [numbers.as_slice()].into_iter())?;
    }
    Ok(archive.finish()?.into_inner())
}

fn array<'a>(
    archive: &mut ZipWriter<Cursor<Vec<u8>>>,
    name: &str,
    kind: &str,
    shape: &[usize],
    parts: impl Iterator<Item = &'a [u8]>,
) -> zip::result::ZipResult<()> {
    let options = SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Stored)
        .large_file(true);
    archive.start_file(format!("{name}.npy"), options)?;
    let lengths: Vec<String> = shape.iter().map(usize::to_string).collect();
    let mut header = format!(
        "{{'descr': '{kind}', 'fortran_order': False, 'shape': ({},), }}",
        lengths.join(", ")
    );
    // Magic, version and length take 10 bytes; the whole is a multiple of 64 and ends in a line feed.
    let padded = (10 + header.len() + 1).next_multiple_of(64) - 10;
    header.push_str(&" ".repeat(padded - header.len() - 1));
    header.push('\n');
    archive.write_all(b"\x93NUMPY\x01\x00")?;
    archive.write_all(&(header.len() as u16).to_le_bytes())?;
    archive.write_all(header.as_bytes())?;
    for part in parts {
        archive.write_all(part)?;
    }
    Ok(())
}
