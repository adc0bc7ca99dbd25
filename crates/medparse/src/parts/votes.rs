//! The category of a whole by those of its parts.

use crate::classes::Category;

/// Pixels for each category that a part was given, and how probable the thing is there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Votes {
    areas: Vec<(Category, u64)>,
    presence: Option<f64>,
}

impl Votes {
    /// Hears one part.
    pub fn hear(&mut self, answer: &super::PartAnswer) {
        match self.areas.iter_mut().find(|(known, _)| *known == answer.category) {
            Some((_, area)) => *area += answer.area,
            None => self.areas.push((answer.category, answer.area)),
        }
        self.presence = self.presence.into_iter().chain(answer.presence).reduce(f64::max);
    }

    /// The category of most of the pixels, the first of equals; none where nothing was found.
    pub fn category(&self) -> Option<Category> {
        let best = self.areas.iter().rev().max_by_key(|(_, area)| *area);
        best.filter(|(_, area)| *area > 0).map(|(category, _)| *category)
    }

    /// The greatest probability that the thing is in a part; none of models that do not say.
    pub fn presence(&self) -> Option<f64> {
        self.presence
    }
}
