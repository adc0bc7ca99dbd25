//! Transfer syntaxes: how a file's elements and pixels are written (PS3.5 section 10).

use super::outline::Encoding;
use super::unsupported;
use crate::Error;

/// How pixels are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Rle,
    /// Baseline, extended (8 or 12 bits) and lossless share one file format.
    Jpeg,
    JpegLs,
    Jpeg2000,
}

/// One transfer syntax.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Syntax {
    pub encoding: Encoding,
    pub deflated: bool,
    pub compression: Compression,
}

impl Syntax {
    /// What dicom-rs must be told to read the elements, inflated already.
    pub fn element_uid(self) -> &'static str {
        match (self.encoding.explicit, self.encoding.big_endian) {
            (false, _) => "1.2.840.10008.1.2",
            (true, false) => "1.2.840.10008.1.2.1",
            (true, true) => "1.2.840.10008.1.2.2",
        }
    }

    pub fn of(uid: &str) -> Result<Self, Error> {
        let plain = Self {
            encoding: Encoding { explicit: true, big_endian: false },
            deflated: false,
            compression: Compression::None,
        };
        let compressed = |compression| Ok(Self { compression, ..plain });
        let kind = uid.strip_prefix("1.2.840.10008.1.2").ok_or_else(|| unknown(uid))?;
        match kind {
            "" => Ok(Self { encoding: Encoding { explicit: false, big_endian: false }, ..plain }),
            ".1" => Ok(plain),
            ".1.99" => Ok(Self { deflated: true, ..plain }),
            ".2" => Ok(Self { encoding: Encoding { explicit: true, big_endian: true }, ..plain }),
            ".4.50" | ".4.51" | ".4.57" | ".4.70" => compressed(Compression::Jpeg),
            ".4.80" | ".4.81" => compressed(Compression::JpegLs),
            ".4.90" | ".4.91" => compressed(Compression::Jpeg2000),
            ".5" => compressed(Compression::Rle),
            ".4.92" | ".4.93" => {
                Err(unsupported("multi-component JPEG 2000 (transfer syntax part 2)"))
            }
            ".4.94" | ".4.95" => Err(unsupported("its pixels lie on a server (JPIP)")),
            ".4.110" | ".4.111" | ".4.112" => Err(unsupported("JPEG XL pixels")),
            ".4.201" | ".4.202" | ".4.203" => Err(unsupported("High-Throughput JPEG 2000 pixels")),
            _ if kind.starts_with(".4.10") => Err(unsupported("it is a video")),
            _ => Err(unknown(uid)),
        }
    }
}

/// UIDs are made of digits and dots; anything else is not repeated.
fn unknown(uid: &str) -> Error {
    let sound = uid.len() <= 64 && uid.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    unsupported(format!(
        "its transfer syntax {} is unknown",
        if sound { uid } else { "(not a UID)" }
    ))
}
