//! The CT windows that BiomedParse's preparation uses.

use super::Window;

/// A window of CT named after what it shows (BiomedParse, `processing_utils.py`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Site {
    /// −150 to 250 HU.
    Abdomen,
    /// −1000 to 1000 HU.
    Lung,
    /// −55 to 200 HU.
    Pelvis,
    /// −25 to 230 HU.
    Liver,
    /// −68 to 187 HU.
    Colon,
    /// −100 to 200 HU.
    Pancreas,
}

/// A text that is neither a number pair nor a known name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no window: expected centre/width such as 40/400 with a width above 0, a site ({}), \
     `percentiles`, `stored`, `full` or `auto`",
    Site::ALL.map(Site::name).join(", ")
)]
pub struct UnknownWindow {
    /// What was given.
    pub text: String,
}

impl Site {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Abdomen, Self::Lung, Self::Pelvis, Self::Liver, Self::Colon, Self::Pancreas];

    /// The window in Hounsfield units.
    pub fn window(self) -> Window {
        let (low, high) = match self {
            Self::Abdomen => (-150.0, 250.0),
            Self::Lung => (-1000.0, 1000.0),
            Self::Pelvis => (-55.0, 200.0),
            Self::Liver => (-25.0, 230.0),
            Self::Colon => (-68.0, 187.0),
            Self::Pancreas => (-100.0, 200.0),
        };
        Window { low, high }
    }

    /// Its name, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Abdomen => "abdomen",
            Self::Lung => "lung",
            Self::Pelvis => "pelvis",
            Self::Liver => "liver",
            Self::Colon => "colon",
            Self::Pancreas => "pancreas",
        }
    }
}

impl std::str::FromStr for Site {
    type Err = UnknownWindow;

    fn from_str(text: &str) -> Result<Self, UnknownWindow> {
        Self::ALL
            .into_iter()
            .find(|site| site.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| UnknownWindow { text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Tone;
    use super::*;

    #[test]
    fn windows_are_read() {
        let window = |low, high| Ok(Tone::Window(Window { low, high }));
        assert_eq!("40/400".parse(), window(-160.0, 240.0));
        assert_eq!(" 50.5 / 1 ".parse(), window(50.0, 51.0));
        assert_eq!("Lung".parse(), Ok(Tone::Site(Site::Lung)));
        assert_eq!("stored".parse(), Ok(Tone::Stored));
        for wrong in ["40/0", "40/-3", "40", "brain", "nan/4", "", "1/inf"] {
            let sentence = wrong.parse::<Tone>().unwrap_err().to_string();
            assert!(sentence.contains("40/400") && sentence.contains("abdomen"), "{sentence}");
        }
    }
}
