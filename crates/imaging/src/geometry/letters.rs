//! Directions in the patient as the letters that pictures are marked with.

use super::vector::Vector;
use super::{Grid, Placement, View};

/// A direction that leans less than this towards an axis (the sine of 15°) is not given its letter.
const LEAST_LEAN: f64 = 0.259;

impl Placement {
    /// What lies towards each edge of the picture, in the order left, right, top, bottom: L and R for the patient's left
    /// and right, A and P for front and back, H and F for head and feet, the strongest first (PS3.3 C.7.6.1.1.1).
    pub fn edges(&self) -> [String; 4] {
        let [x, y] = [self.row_direction, self.column_direction];
        let against = |direction: Vector| direction.map(|part| -part);
        [against(x), x, against(y), y].map(letters)
    }
}

impl View {
    /// Where a slice's middle lies along the patient's axis that the view's slices follow: the letter of the axis' side
    /// and the distance from the frame's zero in mm, such as `('F', 42.5)`.
    pub fn level(&self, grid: &Grid, slice: usize) -> (char, f64) {
        let axes = self.axes();
        let mut middle = [0.0; 3];
        for (axis, (at, size)) in
            axes.iter().zip([None, None, Some(slice)].into_iter().zip(self.dimensions()))
        {
            middle[axis.of] = match at {
                Some(at) if axis.reversed => (size - 1 - at) as f64,
                Some(at) => at as f64,
                None => (size - 1) as f64 / 2.0,
            };
        }
        let direction = grid.directions[axes[2].of];
        let along = strongest(direction);
        let place = grid.position(middle)[along];
        (LETTERS[along][usize::from(place < 0.0)], place.abs())
    }
}

/// The letters of growing and of falling x, y and z.
const LETTERS: [[char; 2]; 3] = [['L', 'R'], ['P', 'A'], ['H', 'F']];

fn strongest(direction: Vector) -> usize {
    (0..3).max_by(|a, b| direction[*a].abs().total_cmp(&direction[*b].abs())).unwrap_or(0)
}

/// The letters of a unit vector, the strongest first.
fn letters(direction: Vector) -> String {
    let mut axes = [0, 1, 2];
    axes.sort_by(|a, b| direction[*b].abs().total_cmp(&direction[*a].abs()));
    axes.into_iter()
        .filter(|axis| direction[*axis].abs() >= LEAST_LEAN)
        .map(|axis| LETTERS[axis][usize::from(direction[axis] < 0.0)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Plane, ras};

    #[test]
    fn directions_become_letters() {
        let (sin, cos) = 0.5_f64.sin_cos();
        for (direction, expected) in [
            ([1.0, 0.0, 0.0], "L"),
            ([0.0, -1.0, 0.0], "A"),
            ([0.0, 0.0, 1.0], "H"),
            ([-cos, sin, 0.0], "RP"),
            ([0.1, 0.0, -0.995], "F"),
        ] {
            assert_eq!(letters(direction), expected, "{direction:?}");
        }
    }

    #[test]
    fn edges_follow_the_plane_and_its_turns() {
        let size = [50, 40, 30];
        let edges = |view: View| view.geometry(&ras(), 0).placement.unwrap().edges().join(" ");
        let axial = View::new(Plane::Axial, Some(&ras()), size);
        assert_eq!(edges(axial), "R L A P");
        assert_eq!(edges(View::new(Plane::Coronal, Some(&ras()), size)), "R L H F");
        assert_eq!(edges(View::new(Plane::Sagittal, Some(&ras()), size)), "A P H F");
        assert_eq!(edges(View::stored(size)), "L R P A");
        assert_eq!(edges(axial.mirrored()), "L R A P");
        assert_eq!(edges(axial.rotated(1)), "P A R L");
    }

    #[test]
    fn a_slice_has_its_level_whichever_way_it_is_counted() {
        let size = [50, 40, 30];
        let axial = View::new(Plane::Axial, Some(&ras()), size);
        assert_eq!(axial.level(&ras(), 0), ('F', 70.0));
        assert_eq!(axial.level(&ras(), 29), ('H', 17.0));
        // From the front (y = 42) to the back (y = 120).
        let coronal = View::new(Plane::Coronal, Some(&ras()), size);
        assert_eq!(coronal.level(&ras(), 0), ('P', 42.0));
        assert_eq!(coronal.level(&ras(), 39), ('P', 120.0));
    }
}
