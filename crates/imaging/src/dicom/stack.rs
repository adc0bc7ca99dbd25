//! Where frames lie, and their order by place.

use dicom_dictionary_std::tags;

use super::attributes::Attributes;
use crate::Grid;
use crate::geometry::vector::{Vector, add, cross, dot, length, scale, subtract, unit};

/// Where one frame lies in the patient, in mm.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct FramePlace {
    /// The centre of the first pixel.
    pub position: Option<Vector>,
    /// Unit vectors along a row and down a column.
    pub orientation: Option<[Vector; 2]>,
    /// Between pixels along a row and down a column.
    pub spacing: Option<[f64; 2]>,
    /// Between slices or, where the file does not say, their thickness.
    pub step: Option<f64>,
}

impl FramePlace {
    /// The place that a data set states of itself.
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

    /// Moves along the normal of the plane (PS3.3 C.8.8.3.2, grid frame offsets).
    pub fn shift(&mut self, offset: f64) {
        if let (Some(position), Some([row, column])) = (self.position, self.orientation) {
            self.position = Some(add(position, scale(cross(row, column), offset)));
        }
    }

    /// Whether both lie in parallel planes turned alike, with pixels of the same size.
    pub fn same_plane(&self, other: &Self) -> bool {
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
pub(super) fn stack(places: &[FramePlace]) -> Stack {
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
