//! Telling a format by its first bytes.

/// The formats of pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Portable Network Graphics.
    Png,
    /// JPEG, baseline or progressive.
    Jpeg,
    /// Tagged Image File Format, BigTIFF included; the first page.
    Tiff,
    /// Windows bitmap.
    Bmp,
    /// A DICOM file, or a series of them.
    Dicom,
    /// NIfTI-1 or NIfTI-2, plain or in gzip.
    Nifti,
    /// Nearly Raw Raster Data, header and data in one file.
    Nrrd,
    /// No file: pixels made in memory.
    Memory,
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::Tiff => "TIFF",
            Self::Bmp => "BMP",
            Self::Dicom => "DICOM file",
            Self::Nifti => "NIfTI file",
            Self::Nrrd => "NRRD file",
            Self::Memory => "picture in memory",
        })
    }
}

const PNG_SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// TIFF and BigTIFF in both byte orders.
const TIFF_SIGNATURES: [&[u8]; 4] = [b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"];

impl Format {
    /// The format whose signature the bytes bear, if it is one this crate reads.
    ///
    /// ```
    /// use medparse_imaging::Format;
    /// assert_eq!(Format::sniff(b"\x89PNG\r\n\x1a\n"), Some(Format::Png));
    /// assert_eq!(Format::sniff(b"%PDF-1.7"), None);
    /// ```
    pub fn sniff(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(PNG_SIGNATURE) {
            Some(Self::Png)
        } else if bytes.starts_with(b"\xff\xd8\xff") {
            Some(Self::Jpeg)
        } else if crate::nifti::is_nifti(bytes) {
            Some(Self::Nifti)
        } else if crate::dicom::is_dicom(bytes) {
            Some(Self::Dicom)
        } else if bytes.starts_with(b"NRRD000") {
            Some(Self::Nrrd)
        } else if TIFF_SIGNATURES.iter().any(|signature| bytes.starts_with(signature)) {
            Some(Self::Tiff)
        } else if bytes.starts_with(b"BM") && bytes.get(6..10) == Some(&[0; 4]) {
            Some(Self::Bmp)
        } else {
            None
        }
    }

    /// Whether files of this format hold pictures for the eye rather than measurements.
    pub(crate) fn is_photograph(self) -> bool {
        matches!(self, Self::Png | Self::Jpeg | Self::Tiff | Self::Bmp | Self::Memory)
    }
}

/// Signatures at fixed offsets of what people send by mistake or in hope.
const SIGNATURES: &[(usize, &[u8], &str)] = &[
    (128, b"DICM", "a DICOM file"),
    (344, b"n+1\0", "a NIfTI-1 file"),
    (344, b"ni1\0", "a NIfTI-1 header"),
    (4, b"n+2\0", "a NIfTI-2 file"),
    (0, b"NRRD000", "an NRRD file"),
    (0, b"\x1f\x8b", "a gzip file (perhaps NIfTI, .nii.gz)"),
    (0, b"II*\0", "a TIFF"),
    (0, b"MM\0*", "a TIFF"),
    (0, b"II+\0", "a BigTIFF"),
    (0, b"MM\0+", "a BigTIFF"),
    (0, b"BM", "a BMP"),
    (0, b"GIF8", "a GIF"),
    (8, b"WEBP", "a WebP"),
    (0, b"\0\0\0\x0cjP  \r\n", "a JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 codestream"),
    (0, b"\0\0\0\x0cJXL \r\n", "a JPEG XL"),
    (4, b"ftypavif", "an AVIF"),
    (4, b"ftyphei", "a HEIC"),
    (4, b"ftypmif1", "a HEIC"),
    (4, b"ftyp", "a video or HEIC container"),
    (0, b"%PDF", "a PDF"),
    (0, b"PK\x03\x04", "a zip archive (or an Office document, or PyTorch weights)"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"7z\xbc\xaf", "a 7-Zip archive"),
    (0, b"BZh", "a bzip2 file"),
    (0, b"\xfd7zXZ", "an xz file"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd file"),
    (0, b"iVBORw0KGgo", "a PNG still encoded as base64 text"),
    (0, b"/9j/", "a JPEG still encoded as base64 text"),
    (0, b"data:image/", "a data URL (send what follows the comma, decoded from base64)"),
];

/// What the first bytes of an unreadable file look like, for the error's sentence.
pub(crate) fn looks_like(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "nothing at all (the file is empty)".into();
    }
    if PNG_SIGNATURE.starts_with(bytes) || (bytes.len() < 3 && b"\xff\xd8\xff".starts_with(bytes)) {
        return format!("the first {} bytes of a PNG or JPEG", bytes.len());
    }
    let signature = SIGNATURES.iter().find(|(offset, magic, _)| {
        bytes.get(*offset..).is_some_and(|rest| rest.starts_with(magic))
    });
    if let Some((_, _, name)) = signature {
        return (*name).into();
    }
    let head = bytes.get(..512).unwrap_or(bytes);
    if head.iter().all(|byte| *byte == 0) {
        return "zeros".into();
    }
    if let Some(markup) = text_kind(head) {
        return markup.into();
    }
    let first: Vec<String> = head.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("binary data (first bytes {})", first.join(" "))
}

/// The kind of text, when the bytes are text at all.
fn text_kind(head: &[u8]) -> Option<&'static str> {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // A character cut by the end of the sample is no reason to doubt the rest.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(head.get(..error.valid_up_to())?).ok()?
        }
        Err(_) => return None,
    };
    if text.is_empty() || text.chars().any(|c| c.is_control() && !c.is_whitespace()) {
        return None;
    }
    let start = text.trim_start_matches('\u{feff}').trim_start();
    let begins = |prefix: &str| {
        start.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
    };
    Some(if begins("<svg") {
        "an SVG drawing"
    } else if begins("<!doctype html") || begins("<html") {
        "a web page"
    } else if begins("<") {
        "XML"
    } else if begins("{") || begins("[") {
        "JSON"
    } else if begins("version https://git-lfs") {
        "a Git LFS pointer (run `git lfs pull`)"
    } else {
        "text"
    })
}

#[cfg(test)]
mod tests {
    use super::{Format, looks_like};

    #[test]
    fn formats_are_told_by_content() {
        assert_eq!(Format::sniff(b"\x89PNG\r\n\x1a\n...."), Some(Format::Png));
        assert_eq!(Format::sniff(b"\xff\xd8\xff\xe0"), Some(Format::Jpeg));
        assert_eq!(Format::sniff(b"\x89PNG"), None);
    }

    #[test]
    fn strangers_are_named() {
        let mut dicom = vec![0; 128];
        dicom.extend(b"DICM\x02\0");
        let mut nifti = vec![0; 344];
        nifti[0] = 0x5c;
        nifti.extend(b"n+1\0");
        let cases: &[(&[u8], &str)] = &[
            (b"", "empty"),
            (b"\x89PN", "first 3 bytes of a PNG"),
            (&dicom, "DICOM"),
            (&nifti, "NIfTI-1"),
            (b"\x1f\x8b\x08\0", "gzip"),
            (b"%PDF-1.7\n", "PDF"),
            (b"PK\x03\x04zip", "zip"),
            (b"RIFF\0\0\0\0WEBPVP8 ", "WebP"),
            (b"iVBORw0KGgoAAAANSUhEUg", "base64"),
            (b"\xef\xbb\xbf <!DOCTYPE HTML><p>", "web page"),
            (b"<svg xmlns='x'/>", "SVG"),
            (b"{\"a\": 1}", "JSON"),
            ("Herzgröße".as_bytes(), "text"),
            (&"ö".as_bytes()[..1], "binary data (first bytes c3)"),
            (&[0; 100], "zeros"),
            (b"\x01\x02\x03\x04", "first bytes 01 02 03 04"),
        ];
        for (bytes, expected) in cases {
            let found = looks_like(bytes);
            assert!(found.contains(expected), "{expected}: {found}");
        }
    }
}
