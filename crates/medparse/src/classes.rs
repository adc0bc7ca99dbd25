//! The 16 categories that BiomedParse sorts everything into, and the sentences that teach it their
//! looks.
//!
//! Names, order and templates are part of the model's arithmetic: those of BiomedParse's
//! `BIOMED_CLASSES` and `utilities/prompt_engineering.py` (the templates are CLIP's, Radford et al.
//! 2021).

/// The categories, in the order of the model's logits.
pub const CATEGORIES: [&str; 16] = [
    "liver",
    "lung",
    "kidney",
    "pancreas",
    "heart anatomies",
    "brain anatomies",
    "eye anatomies",
    "vessel",
    "other organ",
    "tumor",
    "infection",
    "other lesion",
    "fluid disturbance",
    "other abnormality",
    "histology structure",
    "other",
];

/// The class that follows the categories in the bank: nothing that was named.
pub const BACKGROUND: &str = "background";

/// Rows of the class bank: the categories and [`BACKGROUND`].
pub const CLASS_COUNT: usize = CATEGORIES.len() + 1;

/// One of the 16 [`CATEGORIES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Category(u8);

impl Category {
    /// The category at a place of [`CATEGORIES`]; places beyond the last count as the last,
    /// "other".
    pub fn at(index: usize) -> Self {
        Self(index.min(CATEGORIES.len() - 1) as u8)
    }

    /// The category of that name, or `None`.
    pub fn named(name: &str) -> Option<Self> {
        CATEGORIES.iter().position(|category| *category == name).map(Self::at)
    }

    /// Its place in [`CATEGORIES`], 0 to 15.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Its name, such as "heart anatomies".
    pub fn name(self) -> &'static str {
        CATEGORIES[self.index()]
    }
}

impl std::fmt::Display for Category {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(self.name())
    }
}

/// The name of a row of the class bank: a category, or [`BACKGROUND`] for the last; `None` beyond.
pub fn class_name(class: usize) -> Option<&'static str> {
    match class {
        _ if class < CATEGORIES.len() => Some(CATEGORIES[class]),
        _ if class < CLASS_COUNT => Some(BACKGROUND),
        _ => None,
    }
}

/// The sentences whose mean embedding is a row of the class bank: each template with the class's
/// name in it.
///
/// There are 81 of them, or none where no class has that number.
pub fn class_sentences(class: usize) -> impl Iterator<Item = String> {
    class_name(class)
        .into_iter()
        .flat_map(|name| TEMPLATES.iter().map(move |template| template.replace("{}", name)))
}

/// Everything that the bank's text depends on, to tell a cached bank from one that is out of date.
pub fn bank_recipe() -> String {
    (0..CLASS_COUNT).flat_map(class_sentences).collect::<Vec<_>>().join("\n")
}

/// The templates of the sentences; `{}` stands for the class.
pub const TEMPLATES: [&str; 81] = [
    "{}.",
    "a photo of a {}.",
    "a bad photo of a {}.",
    "a photo of many {}.",
    "a sculpture of a {}.",
    "a photo of the hard to see {}.",
    "a low resolution photo of the {}.",
    "a rendering of a {}.",
    "graffiti of a {}.",
    "a bad photo of the {}.",
    "a cropped photo of the {}.",
    "a tattoo of a {}.",
    "the embroidered {}.",
    "a photo of a hard to see {}.",
    "a bright photo of a {}.",
    "a photo of a clean {}.",
    "a photo of a dirty {}.",
    "a dark photo of the {}.",
    "a drawing of a {}.",
    "a photo of my {}.",
    "the plastic {}.",
    "a photo of the cool {}.",
    "a close-up photo of a {}.",
    "a black and white photo of the {}.",
    "a painting of the {}.",
    "a painting of a {}.",
    "a pixelated photo of the {}.",
    "a sculpture of the {}.",
    "a bright photo of the {}.",
    "a cropped photo of a {}.",
    "a plastic {}.",
    "a photo of the dirty {}.",
    "a jpeg corrupted photo of a {}.",
    "a blurry photo of the {}.",
    "a photo of the {}.",
    "a good photo of the {}.",
    "a rendering of the {}.",
    "a {} in a video game.",
    "a photo of one {}.",
    "a doodle of a {}.",
    "a close-up photo of the {}.",
    "the origami {}.",
    "the {} in a video game.",
    "a sketch of a {}.",
    "a doodle of the {}.",
    "a origami {}.",
    "a low resolution photo of a {}.",
    "the toy {}.",
    "a rendition of the {}.",
    "a photo of the clean {}.",
    "a photo of a large {}.",
    "a rendition of a {}.",
    "a photo of a nice {}.",
    "a photo of a weird {}.",
    "a blurry photo of a {}.",
    "a cartoon {}.",
    "art of a {}.",
    "a sketch of the {}.",
    "a embroidered {}.",
    "a pixelated photo of a {}.",
    "itap of the {}.",
    "a jpeg corrupted photo of the {}.",
    "a good photo of a {}.",
    "a plushie {}.",
    "a photo of the nice {}.",
    "a photo of the small {}.",
    "a photo of the weird {}.",
    "the cartoon {}.",
    "art of the {}.",
    "a drawing of the {}.",
    "a photo of the large {}.",
    "a black and white photo of a {}.",
    "the plushie {}.",
    "a dark photo of a {}.",
    "itap of a {}.",
    "graffiti of the {}.",
    "a toy {}.",
    "itap of my {}.",
    "a photo of a cool {}.",
    "a photo of a small {}.",
    "a tattoo of the {}.",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_its_sentences() {
        for class in 0..CLASS_COUNT {
            assert_eq!(class_sentences(class).count(), TEMPLATES.len());
        }
        assert_eq!(class_sentences(CLASS_COUNT).count(), 0);
        assert_eq!(class_sentences(0).next().as_deref(), Some("liver."));
        assert_eq!(class_sentences(16).last().as_deref(), Some("a tattoo of the background."));
        assert_eq!(bank_recipe().lines().count(), 1377);
    }

    #[test]
    fn categories_have_places_and_names() {
        for (index, name) in CATEGORIES.iter().enumerate() {
            let category = Category::at(index);
            assert_eq!((category.index(), category.name()), (index, *name));
            assert_eq!(Category::named(name), Some(category));
        }
        assert_eq!(Category::at(99).name(), "other");
        assert_eq!(Category::named(BACKGROUND), None);
        assert_eq!(format!("[{:>6}]", Category::at(0)), "[ liver]");
    }
}
