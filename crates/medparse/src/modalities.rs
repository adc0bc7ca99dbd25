//! Kinds of pictures that BiomedParse was trained on: what to look for in each, and CT windows.
//!
//! Names and order are those of BiomedParse's `BIOMED_OBJECTS` and
//! `inference_utils/processing_utils.py`.

/// A kind of picture and what the model knows in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageType {
    /// Modality and site, such as "CT-Abdomen".
    pub name: &'static str,
    /// The targets, as prompts.
    pub targets: &'static [&'static str],
}

/// A window on a CT's Hounsfield units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CtWindow {
    /// What it shows.
    pub site: &'static str,
    /// What becomes black, in HU.
    pub lower: i32,
    /// What becomes white, in HU.
    pub upper: i32,
}

/// The kind of picture of that name, or `None`.
pub fn image_type(name: &str) -> Option<&'static ImageType> {
    IMAGE_TYPES.iter().find(|image_type| image_type.name == name)
}

/// The window for that site, or `None`.
pub fn ct_window(site: &str) -> Option<&'static CtWindow> {
    CT_WINDOWS.iter().find(|window| window.site == site)
}

/// Windows by site.
pub const CT_WINDOWS: [CtWindow; 6] = [
    CtWindow { site: "abdomen", lower: -150, upper: 250 },
    CtWindow { site: "lung", lower: -1000, upper: 1000 },
    CtWindow { site: "pelvis", lower: -55, upper: 200 },
    CtWindow { site: "liver", lower: -25, upper: 230 },
    CtWindow { site: "colon", lower: -68, upper: 187 },
    CtWindow { site: "pancreas", lower: -100, upper: 200 },
];

/// Every kind of picture, with its targets.
pub const IMAGE_TYPES: [ImageType; 14] = [
    ImageType {
        name: "CT-Abdomen",
        targets: &[
            "postcava",
            "aorta",
            "right kidney",
            "left kidney",
            "duodenum",
            "pancreas",
            "liver",
            "spleen",
            "stomach",
            "gallbladder",
            "left adrenal gland",
            "right adrenal gland",
            "esophagus",
        ],
    },
    ImageType { name: "CT-Chest", targets: &["nodule", "COVID-19 infection", "tumor"] },
    ImageType { name: "CT-Liver", targets: &["vessel", "tumor"] },
    ImageType {
        name: "MRI-Abdomen",
        targets: &[
            "aorta",
            "postcava",
            "right kidney",
            "duodenum",
            "left kidney",
            "liver",
            "pancreas",
            "gallbladder",
            "stomach",
            "spleen",
            "left adrenal gland",
            "right adrenal gland",
            "esophagus",
        ],
    },
    ImageType {
        name: "MRI-Cardiac",
        targets: &["left heart ventricle", "myocardium", "right heart ventricle"],
    },
    ImageType { name: "MRI-FLAIR-Brain", targets: &["edema", "tumor core"] },
    ImageType { name: "MRI-T1-Gd-Brain", targets: &["enhancing tumor", "non-enhancing tumor"] },
    ImageType {
        name: "Pathology",
        targets: &[
            "connective tissue cells",
            "inflammatory cells",
            "neoplastic cells",
            "epithelial cells",
        ],
    },
    ImageType { name: "X-Ray-Chest", targets: &["left lung", "right lung"] },
    ImageType {
        name: "Ultrasound-Cardiac",
        targets: &["left heart atrium", "left heart ventricle"],
    },
    ImageType { name: "Endoscopy", targets: &["neoplastic polyp", "non-neoplastic polyp"] },
    ImageType { name: "Fundus", targets: &["optic cup", "optic disc"] },
    ImageType { name: "Dermoscopy", targets: &["lesion"] },
    ImageType { name: "OCT", targets: &["edema"] },
];
