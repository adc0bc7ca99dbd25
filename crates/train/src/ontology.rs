//! What the words of prompts mean to training: categories, synonyms, sides.

use medparse::classes::CLASS_COUNT;

/// The class of a query that speaks for nothing: the last of the bank.
pub(crate) const BACKGROUND: usize = CLASS_COUNT - 1;

/// Words that tell a target's category; the first that a name contains decides.
const CATEGORY_WORDS: [(&str, usize); 42] = [
    ("infection", 10),
    ("pneumonia", 10),
    ("tumor", 9),
    ("tumour", 9),
    ("glioma", 9),
    ("melanoma", 9),
    ("cancer", 9),
    ("neoplastic polyp", 9),
    ("polyp", 11),
    ("lesion", 11),
    ("nodule", 11),
    ("cyst", 11),
    ("edema", 12),
    ("effusion", 12),
    ("opacity", 13),
    ("consolidation", 13),
    ("nuclei", 14),
    ("cells", 14),
    ("gland structure", 14),
    ("glandular", 14),
    ("heart", 4),
    ("myocardium", 4),
    ("atrium", 4),
    ("ventricle", 4),
    ("hippocampus", 5),
    ("brain", 5),
    ("optic", 6),
    ("retina", 6),
    ("aorta", 7),
    ("artery", 7),
    ("vein", 7),
    ("vessel", 7),
    ("postcava", 7),
    ("adrenal gland", 8),
    ("liver", 0),
    ("lung", 1),
    ("kidney", 2),
    ("pancreas", 3),
    ("vertebra", 8),
    ("disc", 8),
    ("spinal canal", 8),
    ("prostate", 8),
];

/// The category of a target by its name; none where the name tells nothing.
pub fn category(target: &str) -> Option<usize> {
    let words = CATEGORY_WORDS.iter().find(|(words, _)| target.contains(words));
    words.map(|&(_, category)| category)
}

/// Whether a category is of things that should not be there.
pub(crate) fn is_abnormal(category: usize) -> bool {
    (9..=13).contains(&category)
}

/// Whether a mirrored picture would make the phrase untrue.
pub(crate) fn is_sided(phrase: &str) -> bool {
    phrase.split_whitespace().any(|word| matches!(word, "left" | "right"))
}

/// Other names of targets, modalities and sites; each may stand for the first.
const SYNONYMS: [&[&str]; 19] = [
    &["nuclei", "cell nuclei", "nucleus", "nuclei of cells"],
    &["lesion", "skin lesion", "lesions", "pigmented lesion"],
    &["polyp", "polyps", "colon polyp", "colorectal polyp"],
    &["tumor", "tumour", "mass", "breast tumor"],
    &["benign tumor", "benign tumour", "benign mass"],
    &["malignant tumor", "malignant tumour", "malignant mass", "breast cancer"],
    &["hippocampus", "whole hippocampus", "hippocampal formation"],
    &["anterior hippocampus", "hippocampal head", "hippocampus head"],
    &["posterior hippocampus", "hippocampal body and tail", "hippocampus body and tail"],
    &["vertebrae", "vertebral bodies", "vertebra", "bones of the spine"],
    &["intervertebral disc", "intervertebral discs", "disc", "spinal discs"],
    &["spinal canal", "vertebral canal"],
    &["left heart ventricle", "left ventricle", "left ventricle of the heart"],
    &["right heart ventricle", "right ventricle", "right ventricle of the heart"],
    &["left heart atrium", "left atrium", "left atrium of the heart"],
    &["right heart atrium", "right atrium", "right atrium of the heart"],
    &["pulmonary artery", "pulmonary arteries", "pulmonary trunk"],
    &["MRI", "MR", "magnetic resonance imaging", "MR image"],
    &["endoscopy", "endoscope", "colonoscopy", "endoscopic image"],
];

/// All names of the thing called `name`, itself first.
pub(crate) fn synonyms(name: &str) -> Vec<&str> {
    let known = SYNONYMS.iter().find(|names| names[0] == name);
    known.map_or_else(|| vec![name], |names| names.to_vec())
}

/// What can be asked of pictures in general: target, site, modality (after the targets that
/// BiomedParse's paper lists); training asks for them where they are absent.
pub(crate) const FOREIGN: [[&str; 3]; 48] = [
    ["liver", "abdomen", "CT"],
    ["spleen", "abdomen", "CT"],
    ["pancreas", "abdomen", "CT"],
    ["left kidney", "abdomen", "CT"],
    ["right kidney", "abdomen", "CT"],
    ["kidney", "abdomen", "CT"],
    ["gallbladder", "abdomen", "CT"],
    ["stomach", "abdomen", "CT"],
    ["duodenum", "abdomen", "CT"],
    ["esophagus", "abdomen", "CT"],
    ["left adrenal gland", "abdomen", "CT"],
    ["right adrenal gland", "abdomen", "CT"],
    ["postcava", "abdomen", "CT"],
    ["nodule", "lung", "CT"],
    ["COVID-19 infection", "chest", "CT"],
    ["tumor", "liver", "CT"],
    ["vessel", "liver", "CT"],
    ["kidney cyst", "abdomen", "CT"],
    ["trachea", "chest", "CT"],
    ["lung", "chest", "CT"],
    ["bladder", "pelvis", "CT"],
    ["left lung", "chest", "X-Ray"],
    ["right lung", "chest", "X-Ray"],
    ["lung", "chest", "X-Ray"],
    ["lung opacity", "chest", "X-Ray"],
    ["viral pneumonia", "chest", "X-Ray"],
    ["COVID-19 infection", "chest", "X-Ray"],
    ["pleural effusion", "chest", "X-Ray"],
    ["heart and mediastinum", "chest", "X-Ray"],
    ["optic disc", "retinal", "fundus"],
    ["optic cup", "retinal", "fundus"],
    ["vessel", "retinal", "fundus"],
    ["edema", "retinal", "OCT"],
    ["fetal head", "transperineal", "ultrasound"],
    ["left heart atrium", "heart", "ultrasound"],
    ["left heart ventricle", "heart", "ultrasound"],
    ["public symphysis", "transperineal", "ultrasound"],
    ["thyroid nodule", "thyroid", "ultrasound"],
    ["glandular structure", "colon", "pathology"],
    ["enhancing tumor", "brain", "MRI-T1-Gd"],
    ["non-enhancing tumor", "brain", "MRI-T1-Gd"],
    ["tumor core", "brain", "MRI-FLAIR"],
    ["whole tumor", "brain", "MRI-FLAIR"],
    ["prostate", "prostate", "MRI"],
    ["liver", "abdomen", "MRI"],
    ["kidney", "abdomen", "MRI"],
    ["stomach", "abdomen", "MRI"],
    ["small bowel", "abdomen", "MRI"],
];

#[cfg(test)]
mod tests {
    use medparse::classes::CATEGORIES;

    use super::*;

    #[test]
    fn names_tell_their_category() {
        let cases = [
            ("nuclei", Some("histology structure")),
            ("malignant tumor", Some("tumor")),
            ("neoplastic polyp", Some("tumor")),
            ("polyp", Some("other lesion")),
            ("left heart ventricle", Some("heart anatomies")),
            ("posterior hippocampus", Some("brain anatomies")),
            ("intervertebral disc", Some("other organ")),
            ("optic disc", Some("eye anatomies")),
            ("pulmonary artery", Some("vessel")),
            ("spleen", None),
        ];
        for (name, class) in cases {
            assert_eq!(category(name).map(|index| CATEGORIES[index]), class, "{name}");
        }
    }

    #[test]
    fn sides_are_words() {
        assert!(is_sided("left lung in chest X-Ray"));
        assert!(!is_sided("cleft palate, brightfield microscopy"));
    }
}
