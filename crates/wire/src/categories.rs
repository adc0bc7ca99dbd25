/// The 16 biomedical categories that `text_features` may name, in the order of the endpoint's documentation.
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
