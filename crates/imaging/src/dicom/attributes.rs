//! The elements that matter here, read leniently: what is absent or unreadable is `None`.

use dicom_core::Tag;
use dicom_core::value::Value;
use dicom_object::InMemDicomObject;
use dicom_object::mem::InMemElement;

/// Elements by tag, of a data set or of an item.
#[derive(Clone, Copy)]
pub(super) struct Attributes<'a>(pub &'a InMemDicomObject);

impl<'a> Attributes<'a> {
    pub fn element(&self, tag: Tag) -> Option<&'a InMemElement> {
        self.0.get(tag)
    }

    /// Text without padding; never empty.
    pub fn text(&self, tag: Tag) -> Option<String> {
        let text = self.element(tag)?.to_str().ok()?;
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        (!text.is_empty()).then(|| text.to_owned())
    }

    pub fn integer(&self, tag: Tag) -> Option<i64> {
        let element = self.element(tag)?;
        element.to_int::<i64>().ok().or_else(|| {
            // Some writers put a point into whole numbers.
            self.number(tag).filter(|number| number.fract() == 0.0).map(|number| number as i64)
        })
    }

    pub fn number(&self, tag: Tag) -> Option<f64> {
        self.numbers(tag)?.first().copied()
    }

    /// Finite numbers, at least one.
    pub fn numbers(&self, tag: Tag) -> Option<Vec<f64>> {
        let numbers = self.element(tag)?.to_multi_float64().ok()?;
        (!numbers.is_empty() && numbers.iter().all(|number| number.is_finite())).then_some(numbers)
    }

    /// Exactly `N` finite numbers.
    pub fn vector<const N: usize>(&self, tag: Tag) -> Option<[f64; N]> {
        self.numbers(tag)?.try_into().ok()
    }

    /// The items of a sequence; none where there is no sequence.
    pub fn items(&self, tag: Tag) -> &'a [InMemDicomObject] {
        match self.element(tag).map(|element| element.value()) {
            Some(Value::Sequence(sequence)) => sequence.items(),
            _ => &[],
        }
    }

    pub fn item(&self, tag: Tag) -> Option<Attributes<'a>> {
        self.items(tag).first().map(Attributes)
    }
}
