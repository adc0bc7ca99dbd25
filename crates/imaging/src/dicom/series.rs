//! A series of files as one volume, slices in the order of their places.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dicom_dictionary_std::tags;

use super::attributes::Attributes;
use super::file::DicomFile;
use super::frames::Photometric;
use super::origin::{Origin, context};
use crate::files::read_limited;
use crate::geometry::vector::{Vector, cross, dot, length, subtract, unit};
use crate::read::{FileInfo, check_voxels};
use crate::volume::{Samples, Volume};
use crate::{Error, Format, Grid, Limits, Source};

/// Where one frame lies.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Place3 {
    pub position: Option<Vector>,
    /// Along a row and down a column.
    pub orientation: Option<[Vector; 2]>,
    /// Along a row and down a column, in mm.
    pub spacing: Option<[f64; 2]>,
    /// Between slices or, where the file does not say, their thickness.
    pub step: Option<f64>,
}

impl Place3 {
    pub fn of(attributes: Attributes) -> Self {
        let mut place = Self {
            position: attributes.vector(tags::IMAGE_POSITION_PATIENT),
            orientation: attributes.vector(tags::IMAGE_ORIENTATION_PATIENT).and_then(Self::axes),
            ..Self::default()
        };
        place.measure(attributes);
        place
    }

    /// Takes spacing and thickness from a data set or a pixel measures item.
    pub fn measure(&mut self, attributes: Attributes) {
        let above_zero = |value: &f64| *value > 0.0;
        let spacing: Option<[f64; 2]> = [tags::PIXEL_SPACING, tags::IMAGER_PIXEL_SPACING]
            .iter()
            .find_map(|tag| attributes.vector(*tag))
            .filter(|pair: &[f64; 2]| pair.iter().all(above_zero));
        // DICOM gives the distance between rows first.
        self.spacing = spacing.map(|[down, along]| [along, down]).or(self.spacing);
        let step = [tags::SPACING_BETWEEN_SLICES, tags::SLICE_THICKNESS]
            .iter()
            .find_map(|tag| attributes.number(*tag).map(f64::abs).filter(above_zero));
        self.step = step.or(self.step);
    }

    /// Two unit vectors at a right angle, or nothing.
    pub fn axes(cosines: [f64; 6]) -> Option<[Vector; 2]> {
        let [a, b, c, d, e, f] = cosines;
        let (row, column) = (unit([a, b, c])?, unit([d, e, f])?);
        (dot(row, column).abs() < 1e-2).then_some([row, column])
    }

    fn same_plane(&self, other: &Self) -> bool {
        let near = |a: Vector, b: Vector| dot(a, b) > 1.0 - 1e-4;
        let oriented = match (self.orientation, other.orientation) {
            (Some([a, b]), Some([c, d])) => near(a, c) && near(b, d),
            (None, None) => true,
            _ => false,
        };
        let spaced = match (self.spacing, other.spacing) {
            (Some(a), Some(b)) => a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-3 * a),
            (None, None) => true,
            _ => false,
        };
        oriented && spaced
    }
}

/// Frames in the order of their places.
pub(super) struct Stack {
    pub order: Vec<usize>,
    pub grid: Option<Grid>,
    pub warning: Option<String>,
}

/// Sorts frames along their normal; without a place for each of them they stay as they are.
pub(super) fn stack(places: &[Place3]) -> Stack {
    let stay = |warning| Stack { order: (0..places.len()).collect(), grid: None, warning };
    let Some(first) = places.first() else {
        return stay(None);
    };
    let (Some([row, column]), Some(spacing)) = (first.orientation, first.spacing) else {
        return stay(None);
    };
    let Some(positions) = places.iter().map(|place| place.position).collect::<Option<Vec<_>>>()
    else {
        return stay(None);
    };
    if !places.iter().all(|place| place.same_plane(first)) {
        return stay(Some(
            "the frames lie in different planes: they are kept apart, without a volume".into(),
        ));
    }
    let normal = cross(row, column);
    let mut order: Vec<usize> = (0..places.len()).collect();
    let height = |index: &usize| dot(positions[*index], normal);
    order.sort_by(|a, b| height(a).total_cmp(&height(b)).then(a.cmp(b)));
    let origin = positions[order[0]];
    let steps: Vec<f64> =
        order.windows(2).map(|pair| height(&pair[1]) - height(&pair[0])).collect();
    if steps.iter().any(|step| *step < 1e-4) {
        return stay(Some(
            "several frames lie at the same place (phases or echoes): they are kept in the file's order, without a volume"
                .into(),
        ));
    }
    let last = subtract(positions[order[order.len() - 1]], origin);
    let (direction, step) = match unit(last) {
        Some(direction) => (direction, length(last) / steps.len() as f64),
        None => (normal, first.step.unwrap_or(1.0)),
    };
    let mean = steps.iter().sum::<f64>() / steps.len().max(1) as f64;
    let uneven = steps.iter().filter(|step| (*step - mean).abs() > 0.05 * mean).count();
    let warning = (uneven > 0).then(|| {
        format!("the distances between slices differ (mean {mean:.2} mm): slices may be missing, volumes are approximate")
    });
    Stack {
        order,
        grid: Some(Grid {
            origin,
            directions: [row, column, direction],
            spacing: [spacing[0], spacing[1], step],
            frame_of_reference: None,
        }),
        warning,
    }
}

/// Which series of a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum SeriesChoice {
    /// The only one.
    #[default]
    Only,
    /// The one of that number, from 1 in the order of their UIDs, or whose UID ends so.
    Named(String),
}

/// What the first pass keeps of a file.
struct Member {
    path: PathBuf,
    place: Place3,
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

/// Reads a folder's series.
pub(crate) fn folder(path: &Path, choice: &SeriesChoice, limits: &Limits) -> Result<Volume, Error> {
    let Survey { series, refusal } = survey(path, limits)?;
    let members = match choice {
        SeriesChoice::Named(name) => {
            let number =
                name.parse::<usize>().ok().filter(|number| (1..=series.len()).contains(number));
            let mut fitting = series.into_iter().zip(1..).filter(|((uid, _), at)| match number {
                Some(number) => number == *at,
                None => uid.ends_with(name.as_str()),
            });
            match (fitting.next(), fitting.next()) {
                (Some(((_, members), _)), None) => members,
                (found, _) => {
                    let count = if found.is_some() { "several" } else { "no" };
                    return Err(in_folder(
                        path,
                        Error::Series {
                            detail: format!(
                                "{count} series UIDs end in the one that was asked for"
                            ),
                        },
                    ));
                }
            }
        }
        SeriesChoice::Only if series.len() > 1 => {
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
            return Err(in_folder(path, Error::Series { detail }));
        }
        SeriesChoice::Only => series.into_values().next().unwrap_or_default(),
    };
    if members.is_empty() {
        let none = Error::Series { detail: "it holds no DICOM file with pixels".into() };
        return Err(refusal.unwrap_or_else(|| in_folder(path, none)));
    }
    assemble(path, members, limits)
}

fn in_folder(path: &Path, error: Error) -> Error {
    Error::InFile { path: path.to_owned(), error: Box::new(error) }
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
            return Err(in_folder(
                folder,
                Error::OverLimit {
                    claim: format!("the folder holds more than {MAX_FILES} files"),
                    limit: format!("{MAX_FILES} files"),
                },
            ));
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
        Err(error) => return Err(in_folder(path, error)),
    };
    let attributes = file.attributes();
    let uid = attributes.text(tags::SERIES_INSTANCE_UID).unwrap_or_default();
    let shape = file.shape().map_err(|error| in_folder(path, error))?;
    let member = Member {
        path: path.to_owned(),
        place: Place3::of(attributes),
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
        return super::volume(&bytes, limits).map_err(|error| in_folder(&only.path, error));
    }
    let (members, left_out) = alike(members);
    let places: Vec<Place3> = members.iter().map(|member| member.place.clone()).collect();
    let stack = stack(&places);
    let [columns, rows, slices] = [members[0].columns, members[0].rows, members.len()];
    let mut gray: Vec<f32> = Vec::new();
    let mut rgb: Vec<u8> = Vec::new();
    let mut parts: Option<(FileInfo, dicom_object::InMemDicomObject, String, Option<String>)> =
        None;
    let mut instances = Vec::with_capacity(slices);
    for &index in &stack.order {
        let member = &members[index];
        let at = |error| in_folder(&member.path, error);
        let bytes = read_limited(&member.path, limits)?;
        let file = DicomFile::parse(&bytes, limits).map_err(at)?;
        let shape = file.shape().map_err(at)?;
        if file.frames().map_err(at)? != 1 {
            return Err(at(Error::Series {
                detail: "a file of several frames stands among others; open it alone".into(),
            }));
        }
        let color = file.color(&shape);
        if parts.is_none() {
            check_voxels([columns, rows, slices], color, bytes.len(), limits).map_err(at)?;
            let bits = u8::try_from(shape.bits_stored).unwrap_or(u8::MAX);
            let attributes = file.attributes();
            let mut info = FileInfo::new(Source { format: Format::Dicom, color, bits });
            info.modality = attributes.text(tags::MODALITY);
            info.inverted = shape.photometric == Photometric::Monochrome1;
            info.curve = file.curve(shape.signed);
            info.pixel_spacing = member.place.spacing;
            parts = Some((
                info,
                context(attributes),
                attributes.text(tags::SERIES_INSTANCE_UID).unwrap_or_default(),
                attributes.text(tags::FRAME_OF_REFERENCE_UID),
            ));
        }
        let facts = file.facts(1, shape.signed).map_err(at)?;
        match file.samples(&shape, &facts, &[0]).map_err(at)? {
            Samples::Gray(values) => gray.extend(values),
            Samples::Rgb(bytes) => rgb.extend(bytes),
        }
        instances.push(file.instance(None, member.place.position));
    }
    let Some((mut info, context, series_uid, frame_of_reference)) = parts else {
        return Err(in_folder(folder, Error::Series { detail: "it holds no slice".into() }));
    };
    info.warnings.extend(stack.warning);
    if left_out > 0 {
        info.warnings.push(format!("{left_out} files of the series lie in another plane or have another size: they were left out"));
    }
    let samples = if rgb.is_empty() { Samples::Gray(gray) } else { Samples::Rgb(rgb) };
    let mut volume = Volume::from_parts([columns, rows, slices], samples, info)?;
    volume.grid = stack.grid.map(|grid| Grid { frame_of_reference, ..grid });
    let orientation = places[0].orientation;
    volume.origin = Some(Arc::new(Origin { context, series_uid, instances, orientation }));
    Ok(volume)
}
