//! How much of two masks is common.

use medparse_imaging::Mask;

/// Pixels of two masks of one size, and of both together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overlap {
    both: u64,
    first: u64,
    second: u64,
}

impl Overlap {
    /// Counts the pixels of two masks; those beyond the smaller one do not count.
    pub fn of(first: &Mask, second: &Mask) -> Self {
        let pairs = first.pixels().iter().zip(second.pixels());
        Self {
            both: pairs.filter(|(a, b)| **a != 0 && **b != 0).count() as u64,
            first: first.area(),
            second: second.area(),
        }
    }

    /// The counts of two places together, as of two slices of a volume.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            both: self.both + other.both,
            first: self.first + other.first,
            second: self.second + other.second,
        }
    }

    /// The counts where the first mask has so many pixels and the second none.
    pub fn missed(first: u64) -> Self {
        Self { both: 0, first, second: 0 }
    }

    /// Dice's coefficient, `2 |A ∩ B| / (|A| + |B|)`, 0..=1; 1 where both are empty.
    pub fn dice(self) -> f64 {
        share(2 * self.both, self.first + self.second)
    }

    /// Jaccard's index, `|A ∩ B| / |A ∪ B|`, 0..=1; 1 where both are empty.
    pub fn iou(self) -> f64 {
        share(self.both, self.first + self.second - self.both)
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let mask = |pixels: [u8; 6]| Mask::from_pixels(3, 2, pixels.to_vec()).unwrap();
        let (a, b) = (mask([1, 1, 1, 0, 0, 0]), mask([0, 1, 1, 1, 0, 1]));
        let overlap = Overlap::of(&a, &b);
        assert_eq!((overlap.dice(), overlap.iou()), (4.0 / 7.0, 2.0 / 5.0));
        let none = mask([0; 6]);
        assert_eq!(Overlap::of(&a, &none).dice(), 0.0);
        assert_eq!(overlap.and(Overlap::missed(2)).dice(), 4.0 / 9.0);
        assert_eq!((Overlap::of(&none, &none).dice(), Overlap::of(&none, &none).iou()), (1.0, 1.0));
    }
}
