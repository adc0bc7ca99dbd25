//! What a target is in SNOMED CT, for DICOM's segments: categories of CID 7150, types of CID 7159 and the anatomy that
//! PS3.16 draws on, sides by the modifiers of CID 244. `tests/check_codes.py` holds each against pydicom's dictionary.

/// A coded concept of SNOMED CT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Code {
    pub value: &'static str,
    pub meaning: &'static str,
}

/// A segment's category, its type, and which of a pair it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Property {
    pub category: Code,
    pub kind: Code,
    pub side: Option<Code>,
}

const fn code(value: &'static str, meaning: &'static str) -> Code {
    Code { value, meaning }
}

const ANATOMY: Code = code("123037004", "Anatomical Structure");
const MORPHOLOGY: Code = code("49755003", "Morphologically Altered Structure");
const TISSUE: Code = code("85756007", "Tissue");
const LEFT: Code = code("7771000", "Left");
const RIGHT: Code = code("24028007", "Right");

/// What there is on both sides, so that "left" and "right" in a phrase say which.
const PAIRED: [&str; 5] = ["23451007", "64033007", "39607008", "5366008", "76752008"];

/// Phrases, the more special first: the first that stands in the target's words decides.
const TERMS: &[(&str, Code, Code)] = &[
    // A polyp in general has no code of its own in DICOM's tables.
    ("polyp", MORPHOLOGY, code("52988006", "Lesion")),
    ("nodule", MORPHOLOGY, code("27925004", "Nodule")),
    ("cyst", MORPHOLOGY, code("367643001", "Cyst")),
    ("edema", MORPHOLOGY, code("79654002", "Edema")),
    ("hemorrhage", MORPHOLOGY, code("50960005", "Hemorrhage")),
    ("tumor", MORPHOLOGY, code("108369006", "Neoplasm")),
    ("glioma", MORPHOLOGY, code("108369006", "Neoplasm")),
    ("melanoma", MORPHOLOGY, code("108369006", "Neoplasm")),
    ("neoplas", MORPHOLOGY, code("108369006", "Neoplasm")),
    ("pleural effusion", MORPHOLOGY, code("60046008", "Pleural effusion")),
    ("mass", MORPHOLOGY, code("4147007", "Mass")),
    ("lesion", MORPHOLOGY, code("52988006", "Lesion")),
    ("adrenal", ANATOMY, code("23451007", "Adrenal gland")),
    ("kidney", ANATOMY, code("64033007", "Kidney")),
    ("lung", ANATOMY, code("39607008", "Lung")),
    ("left heart ventricle", ANATOMY, code("87878005", "Left ventricle")),
    ("right heart ventricle", ANATOMY, code("53085002", "Right ventricle")),
    ("left heart atrium", ANATOMY, code("82471001", "Left atrium")),
    ("right heart atrium", ANATOMY, code("73829009", "Right atrium")),
    ("myocardium", ANATOMY, code("122448007", "Cardiac muscle")),
    ("pulmonary artery", ANATOMY, code("81040000", "Pulmonary artery")),
    ("heart", ANATOMY, code("80891009", "Heart")),
    ("liver", ANATOMY, code("10200004", "Liver")),
    ("spleen", ANATOMY, code("78961009", "Spleen")),
    ("pancreas", ANATOMY, code("15776009", "Pancreas")),
    ("stomach", ANATOMY, code("69695003", "Stomach")),
    ("gallbladder", ANATOMY, code("28231008", "Gallbladder")),
    ("aorta", ANATOMY, code("15825003", "Aorta")),
    ("postcava", ANATOMY, code("64131007", "Inferior vena cava")),
    ("inferior vena cava", ANATOMY, code("64131007", "Inferior vena cava")),
    ("duodenum", ANATOMY, code("38848004", "Duodenum")),
    ("esophagus", ANATOMY, code("32849002", "Esophagus")),
    ("small bowel", ANATOMY, code("30315005", "Small intestine")),
    ("large bowel", ANATOMY, code("14742008", "Large intestine")),
    ("colon", ANATOMY, code("71854001", "Colon")),
    ("hippocampus", ANATOMY, code("5366008", "Hippocampus")),
    ("brain", ANATOMY, code("12738006", "Brain")),
    ("prostate", ANATOMY, code("41216001", "Prostate")),
    ("bladder", ANATOMY, code("89837001", "Bladder")),
    ("uterus", ANATOMY, code("35039007", "Uterus")),
    // A disc in general has no code of its own in DICOM's tables; the column that it is a part of has.
    ("intervertebral disc", ANATOMY, code("421060004", "Vertebral column")),
    ("spinal canal", ANATOMY, code("61853006", "Spinal canal")),
    ("vertebra", ANATOMY, code("51282000", "Vertebra")),
    ("airway", ANATOMY, code("89187006", "Airway")),
    ("trachea", ANATOMY, code("44567001", "Trachea")),
    ("optic disc", ANATOMY, code("81016008", "Optic nerve head")),
    ("optic cup", ANATOMY, code("81016008", "Optic nerve head")),
    ("vessel", ANATOMY, code("59820001", "Blood vessel")),
    ("nuclei", ANATOMY, code("84640000", "Nucleus")),
    ("nucleus", ANATOMY, code("84640000", "Nucleus")),
    ("cell", ANATOMY, code("4421005", "Cell")),
    ("breast", ANATOMY, code("76752008", "Breast")),
];

/// By the model's category, where no phrase is known.
const CATEGORIES: &[(&str, Code, Code)] = &[
    ("heart anatomies", ANATOMY, code("80891009", "Heart")),
    ("brain anatomies", ANATOMY, code("12738006", "Brain")),
    ("eye anatomies", ANATOMY, code("81745001", "Eye")),
    ("other organ", ANATOMY, code("113343008", "Organ")),
    ("infection", MORPHOLOGY, code("52988006", "Lesion")),
    ("fluid disturbance", MORPHOLOGY, code("52988006", "Lesion")),
    ("other abnormality", MORPHOLOGY, code("52988006", "Lesion")),
    ("histology structure", TISSUE, code("85756007", "Tissue")),
];

/// The codes of a target; tissue where neither its words nor its category are known.
pub(super) fn property(label: &str, category: Option<&str>) -> Property {
    let find = |table: &[(&str, Code, Code)], text: &str| {
        let text = text.to_lowercase();
        let found = table.iter().find(|(words, ..)| text.contains(words));
        found.map(|(_, category, kind)| (*category, *kind))
    };
    let (category, kind) = find(TERMS, label)
        .or_else(|| {
            category
                .and_then(|category| find(TERMS, category).or_else(|| find(CATEGORIES, category)))
        })
        .unwrap_or((TISSUE, TISSUE));
    Property { category, kind, side: side(label).filter(|_| PAIRED.contains(&kind.value)) }
}

/// The side that a phrase names, if it is one.
fn side(label: &str) -> Option<Code> {
    let has = |side: &str| {
        label.split(|c: char| !c.is_alphanumeric()).any(|word| word.eq_ignore_ascii_case(side))
    };
    match (has("left"), has("right")) {
        (true, false) => Some(LEFT),
        (false, true) => Some(RIGHT),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::property;

    #[test]
    fn special_words_come_first() {
        let cases = [
            ("left kidney in abdomen CT", None, "64033007"),
            ("kidney tumor", Some("tumor"), "108369006"),
            ("non-neoplastic polyp", Some("tumor"), "52988006"),
            ("Something odd", Some("liver"), "10200004"),
            ("gland", Some("histology structure"), "85756007"),
            ("?", None, "85756007"),
        ];
        for (label, category, expected) in cases {
            assert_eq!(property(label, category).kind.value, expected, "{label}");
        }
    }

    #[test]
    fn sides_are_modifiers_of_what_there_is_twice() {
        let cases = [
            ("Left kidney", Some("Left")),
            ("lung on the right", Some("Right")),
            ("kidney", None),
            ("left and right lung", None),
            ("left heart ventricle", None),
            ("left lung tumor", None),
        ];
        for (label, expected) in cases {
            let side = property(label, None).side.map(|side| side.meaning);
            assert_eq!(side, expected, "{label}");
        }
    }
}
