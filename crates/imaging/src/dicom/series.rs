//! A series of files as one volume, slices in the order of their places.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dicom_dictionary_std::tags;

use super::file::DicomFile;
use super::origin::Origin;
use super::stack::{FramePlace, stack};
use crate::files::read_limited;
use crate::read::{FileInfo, check_voxels};
use crate::volume::{Samples, Volume};
use crate::{Error, Grid, Limits};

/// What the first pass keeps of a file.
struct Member {
    path: PathBuf,
    place: FramePlace,
    columns: usize,
    rows: usize,
}

/// Files in a folder and its folders; more is a mistake in the path.
const MAX_FILES: usize = 100_000;

/// What a folder holds.
struct Survey {
    /// The files with pixels, by the UID of their series.
    series: BTreeMap<String, Vec<Member>>,
    /// What is wrong with the first file that cannot be read.
    refusal: Option<Error>,
}

fn survey(path: &Path, limits: &Limits) -> Result<Survey, Error> {
    let mut files = Vec::new();
    list(path, &mut files)?;
    files.sort();
    let mut series: BTreeMap<String, Vec<Member>> = BTreeMap::new();
    let mut refusal = None;
    for file in files {
        match member(&file, limits) {
            Ok(Some((uid, member))) => series.entry(uid).or_default().push(member),
            Ok(None) => {}
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    Ok(Survey { series, refusal })
}

/// How many files with pixels each DICOM series of a folder and its folders has, in the order of
/// their numbers ([`crate::OpenOptions::series`]); files that cannot be read are not counted.
///
/// # Errors
/// [`Error::Read`] where a folder cannot be listed, [`Error::OverLimit`] where it holds too many files.
pub fn series_sizes(path: &Path, limits: &Limits) -> Result<Vec<usize>, Error> {
    Ok(survey(path, limits)?.series.values().map(Vec::len).collect())
}

/// Reads a folder's only series, or the one of the number `wanted`, from 1 in the order of their UIDs, or whose UID ends so.
pub(crate) fn folder(path: &Path, wanted: Option<&str>, limits: &Limits) -> Result<Volume, Error> {
    let Survey { series, refusal } = survey(path, limits)?;
    let members = match wanted {
        Some(name) => {
            let number =
                name.parse::<usize>().ok().filter(|number| (1..=series.len()).contains(number));
            let mut fitting = series.into_iter().zip(1..).filter(|((uid, _), at)| match number {
                Some(number) => number == *at,
                None => uid.ends_with(name),
            });
            match (fitting.next(), fitting.next()) {
                (Some(((_, members), _)), None) => members,
                (found, _) => {
                    let count = if found.is_some() { "several" } else { "no" };
                    let detail = format!("{count} series UIDs end in the one that was asked for");
                    return Err(Error::Series { detail }.in_file(path));
                }
            }
        }
        None if series.len() > 1 => {
            // A UID would tell whose series it is.
            let list: Vec<String> = series
                .values()
                .zip(1..)
                .map(|(members, number)| {
                    let Member { columns, rows, .. } = &members[0];
                    format!("{number} ({} files of {columns}×{rows})", members.len())
                })
                .collect();
            let detail = format!(
                "it holds {} series, choose one by its number (--series): {}",
                list.len(),
                list.join(", ")
            );
            return Err(Error::Series { detail }.in_file(path));
        }
        None => series.into_values().next().unwrap_or_default(),
    };
    if members.is_empty() {
        let none = Error::Series { detail: "it holds no DICOM file with pixels".into() };
        return Err(refusal.unwrap_or_else(|| none.in_file(path)));
    }
    assemble(path, members, limits)
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    let refuse = |error| Error::Read { path: folder.to_owned(), reason: crate::IoReason(error) };
    for entry in std::fs::read_dir(folder).map_err(refuse)? {
        let entry = entry.map_err(refuse)?;
        let kind = entry.file_type().map_err(refuse)?;
        // Links to folders could lead in circles.
        if kind.is_dir() {
            list(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
        if files.len() > MAX_FILES {
            let claim = format!("the folder holds more than {MAX_FILES} files");
            let limit = format!("{MAX_FILES} files");
            return Err(Error::OverLimit { claim, limit }.in_file(folder));
        }
    }
    Ok(())
}

/// Reads a file for the first time; `None` for what is no DICOM or has no pixels.
fn member(path: &Path, limits: &Limits) -> Result<Option<(String, Member)>, Error> {
    use std::io::Read;
    let mut head = [0; 132];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut head));
    if read.is_err() || !super::is_dicom(&head) {
        return Ok(None);
    }
    let bytes = read_limited(path, limits)?;
    let file = match DicomFile::parse(&bytes, limits) {
        Ok(file) => file,
        Err(Error::Unsupported { .. }) => return Ok(None),
        Err(error) => return Err(error.in_file(path)),
    };
    let attributes = file.attributes();
    let uid = attributes.text(tags::SERIES_INSTANCE_UID).unwrap_or_default();
    let shape = file.shape().map_err(|error| error.in_file(path))?;
    let member = Member {
        path: path.to_owned(),
        place: FramePlace::of(attributes),
        columns: shape.columns,
        rows: shape.rows,
    };
    Ok(Some((uid, member)))
}

/// The largest set of files that share plane and size.
fn alike(members: Vec<Member>) -> (Vec<Member>, usize) {
    let total = members.len();
    let mut groups: Vec<Vec<Member>> = Vec::new();
    for member in members {
        let fits = |group: &&mut Vec<Member>| {
            let first = &group[0];
            (first.columns, first.rows) == (member.columns, member.rows)
                && first.place.same_plane(&member.place)
        };
        match groups.iter_mut().find(fits) {
            Some(group) => group.push(member),
            None => groups.push(vec![member]),
        }
    }
    let largest = groups.into_iter().rev().max_by_key(Vec::len).unwrap_or_default();
    let left_out = total - largest.len();
    (largest, left_out)
}

fn assemble(folder: &Path, members: Vec<Member>, limits: &Limits) -> Result<Volume, Error> {
    if let [only] = &members[..] {
        let bytes = read_limited(&only.path, limits)?;
        return super::volume(&bytes, limits).map_err(|error| error.in_file(&only.path));
    }
    let (members, left_out) = alike(members);
    let places: Vec<FramePlace> = members.iter().map(|member| member.place.clone()).collect();
    let stack = stack(&places);
    let [columns, rows, slices] = [members[0].columns, members[0].rows, members.len()];
    let mut gray: Vec<f32> = Vec::new();
    let mut rgb: Vec<u8> = Vec::new();
    // What the first slice says for all of them.
    let mut said: Option<(FileInfo, Origin, Option<String>)> = None;
    for &index in &stack.order {
        let member = &members[index];
        let at = |error: Error| error.in_file(&member.path);
        let bytes = read_limited(&member.path, limits)?;
        let file = DicomFile::parse(&bytes, limits).map_err(at)?;
        let shape = file.shape().map_err(at)?;
        if file.frames().map_err(at)? != 1 {
            return Err(at(Error::Series {
                detail: "a file of several frames stands among others; open it alone".into(),
            }));
        }
        let (_, origin, _) = match &mut said {
            Some(said) => said,
            None => {
                let color = file.color(&shape);
                check_voxels([columns, rows, slices], color, bytes.len(), limits).map_err(at)?;
                said.insert((
                    file.info(&shape, &member.place),
                    Origin::of(file.attributes(), places[0].orientation),
                    file.attributes().text(tags::FRAME_OF_REFERENCE_UID),
                ))
            }
        };
        origin.instances.push(file.instance(None, member.place.position));
        let facts = file.facts(1, shape.signed).map_err(at)?;
        match file.samples(&shape, &facts, &[0]).map_err(at)? {
            Samples::Gray(values) => gray.extend(values),
            Samples::Rgb(bytes) => rgb.extend(bytes),
        }
    }
    let Some((mut info, origin, frame_of_reference)) = said else {
        return Err(Error::Series { detail: "it holds no slice".into() }.in_file(folder));
    };
    info.warnings.extend(stack.warning);
    if left_out > 0 {
        info.warnings.push(format!("{left_out} files of the series lie in another plane or have another size: they were left out"));
    }
    let samples = if rgb.is_empty() { Samples::Gray(gray) } else { Samples::Rgb(rgb) };
    let mut volume = Volume::from_parts([columns, rows, slices], samples, info)?;
    volume.grid = stack.grid.map(|grid| Grid { frame_of_reference, ..grid });
    volume.origin = Some(Arc::new(origin));
    Ok(volume)
}
