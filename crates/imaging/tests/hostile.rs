//! Files that are cut, damaged, invented or too large: an error that says so, never a panic, never half a picture.

mod support;

use medparse_imaging::{Error, Format, Limits, Mask, Picture, Place, procedural};
use proptest::prelude::*;
use support::{fixture, unhex};

fn jpeg(name: &str) -> Vec<u8> {
    std::fs::read(fixture(&format!("jpeg_{name}.jpg"))).unwrap()
}

fn small_png() -> Vec<u8> {
    procedural::cells(24, 16, 2).unwrap().picture.encode_png().unwrap()
}

/// A PNG chunk with its length and checksum.
fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let crc = (kind.iter().chain(data)).fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            crc >> 1 ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    });
    [&(data.len() as u32).to_be_bytes(), kind.as_slice(), data, &(!crc).to_be_bytes()].concat()
}

fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend([8, 2, 0, 0, 0]);
    [b"\x89PNG\r\n\x1a\n".as_slice(), &chunk(b"IHDR", &header)].concat()
}

#[test]
fn every_cut_of_a_file_is_an_error() {
    let mut interlaced: Vec<serde_json::Value> =
        serde_json::from_slice(&std::fs::read(fixture("png.json")).unwrap()).unwrap();
    interlaced.retain(|case| case["name"] == "rgba_8_interlaced");
    let interlaced = unhex(interlaced[0]["png"].as_str().unwrap());
    let files = [
        ("png", small_png()),
        ("interlaced png", interlaced),
        ("baseline", jpeg("420")),
        ("restarts", jpeg("420_restarts")),
        ("progressive", jpeg("progressive_420")),
        ("cmyk", jpeg("cmyk")),
    ];
    for (name, bytes) in files {
        Picture::decode(&bytes, &Limits::default()).unwrap();
        for length in 0..bytes.len() {
            let cut = &bytes[..length];
            match Picture::decode(cut, &Limits::default()) {
                Ok(_) => panic!("{name}: a picture from {length} of {} bytes", bytes.len()),
                Err(Error::Truncated { bytes, .. }) => assert_eq!(bytes, length, "{name}"),
                Err(Error::UnknownFormat { .. }) if length < 8 => {}
                Err(other) => panic!("{name}, {length} bytes: {other}"),
            }
        }
    }
}

#[test]
fn bytes_behind_the_end_do_not_matter() {
    for bytes in [small_png(), jpeg("444"), jpeg("progressive_gray")] {
        let whole = Picture::decode(&bytes, &Limits::default()).unwrap();
        let longer = [bytes, vec![0xff; 50], small_png()].concat();
        assert!(Picture::decode(&longer, &Limits::default()).unwrap() == whole);
    }
}

#[test]
fn a_cut_is_placed() {
    let png = small_png();
    let jpeg = jpeg("444");
    let place = |bytes: &[u8]| match Picture::decode(bytes, &Limits::default()) {
        Err(Error::Truncated { place, .. }) => place,
        other => panic!("{other:?}"),
    };
    assert_eq!(place(&png[..20]), Place::Header);
    assert!(matches!(place(&png[..png.len() / 2]), Place::Row { complete: 1..=15, of: 16 }));
    assert_eq!(place(&png[..png.len() - 1]), Place::End);
    assert_eq!(place(&jpeg[..100]), Place::Header);
    assert_eq!(place(&jpeg[..jpeg.len() - 1]), Place::Scan { number: 1 });
    let sentence = Picture::decode(&png[..20], &Limits::default()).unwrap_err().to_string();
    assert_eq!(sentence, "the PNG is truncated: it ends after 20 bytes, before its first pixel");
}

#[test]
fn a_bomb_is_refused_by_its_header() {
    // 20 kB that claim 40000 × 40000 pixels, and the first 40 bytes of it: the pixels are never looked at.
    let png =
        [png_header(40_000, 40_000), chunk(b"IDAT", &[0; 20_000]), chunk(b"IEND", &[])].concat();
    let mut jpeg = jpeg("444");
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xea, 0x60, 0xea, 0x60]);
    let cases =
        [(&png[..], "1,600,000,000"), (&png[..40], "1,600,000,000"), (&jpeg[..], "3,600,000,000")];
    for (bytes, claimed) in cases {
        let error = Picture::decode(bytes, &Limits::default()).unwrap_err();
        assert!(matches!(error, Error::OverLimit { .. }), "{error}");
        let sentence = error.to_string();
        assert!(sentence.contains(claimed) && sentence.contains("100,000,000"), "{sentence}");
        assert!(Mask::decode(bytes, &Limits::default()).is_err());
    }
}

#[test]
fn each_limit_is_checked_and_named() {
    let png = small_png();
    let limits = Limits::default();
    let cases = [
        (Limits { max_pixels: 383, ..limits }, "24×16 = 384 pixels, the limit is 383 pixels"),
        (Limits { max_side: 23, ..limits }, "24×16 pixels, the limit is 23 pixels a side"),
        (Limits { max_encoded_bytes: 99, ..limits }, "bytes, the limit is 99 bytes"),
        (Limits { max_decoded_bytes: 1000, ..limits }, "the limit is 1,000 bytes of memory"),
    ];
    for (limits, expected) in cases {
        let sentence = Picture::decode(&png, &limits).unwrap_err().to_string();
        assert!(sentence.contains(expected), "{sentence}");
    }
    let exact =
        Limits { max_pixels: 384, max_side: 24, max_encoded_bytes: png.len() as u64, ..limits };
    assert!(Picture::decode(&png, &exact).is_ok());

    // A progressive JPEG holds all coefficients, a baseline one does not.
    let memory = Limits { max_decoded_bytes: 67 * 45 * 4, ..limits };
    assert!(Picture::decode(&jpeg("420"), &memory).is_ok());
    assert!(matches!(
        Picture::decode(&jpeg("progressive_420"), &memory),
        Err(Error::OverLimit { .. })
    ));
}

#[test]
fn many_scans_are_refused() {
    let bytes = jpeg("progressive_gray");
    let scan = bytes.windows(2).rposition(|pair| pair == [0xff, 0xda]).unwrap();
    let last_scan = &bytes[scan..bytes.len() - 2];
    let long = [&bytes[..scan], &last_scan.repeat(200), &[0xff, 0xd9]].concat();
    let sentence = Picture::decode(&long, &Limits::default()).unwrap_err().to_string();
    assert!(sentence.contains("more than 100 scans"), "{sentence}");
}

#[test]
fn kinds_that_are_not_read_say_so() {
    let patched = |offset: usize, value: u8| {
        let mut bytes = jpeg("444");
        let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        bytes[frame + offset] = value;
        bytes
    };
    let cases = [
        (patched(1, 0xc3), "lossless"),
        (patched(1, 0xc9), "arithmetic-coded"),
        (patched(1, 0xc5), "hierarchical"),
        (patched(4, 12), "12 bits a sample"),
        (patched(9, 2), "2 components"),
    ];
    for (bytes, kind) in cases {
        match Picture::decode(&bytes, &Limits::default()) {
            Err(Error::Unsupported { format: Format::Jpeg, detail }) => {
                assert!(detail.contains(kind), "{detail}")
            }
            other => panic!("{kind}: {other:?}"),
        }
    }
}

#[test]
fn damage_is_found() {
    let png = small_png();
    // A bit flipped in the pixels no longer fits the chunk's checksum.
    let mut flipped = png.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    assert!(matches!(
        Picture::decode(&flipped, &Limits::default()),
        Err(Error::Damaged { format: Format::Png, .. })
    ));

    let no_pixels = [png_header(4, 4), chunk(b"IEND", &[])].concat();
    assert!(Picture::decode(&no_pixels, &Limits::default()).is_err());
    let zero = [png_header(0, 4), chunk(b"IDAT", &[]), chunk(b"IEND", &[])].concat();
    assert!(Picture::decode(&zero, &Limits::default()).is_err());

    let jpeg = jpeg("444");
    let scan = jpeg.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
    let no_scan = [&jpeg[..scan], &[0xff, 0xd9]].concat();
    let sentence = Picture::decode(&no_scan, &Limits::default()).unwrap_err().to_string();
    assert_eq!(sentence, "the JPEG is damaged: it has no scan");
}

#[test]
fn other_formats_are_named() {
    let sentence = Picture::decode(b"%PDF-1.7", &Limits::default()).unwrap_err().to_string();
    assert_eq!(
        sentence,
        "not a picture that can be read: the bytes look like a PDF, accepted are PNG and JPEG"
    );
    let sentence = Mask::decode(&jpeg("gray"), &Limits::default()).unwrap_err().to_string();
    assert!(sentence.contains("a JPEG, whose losses blur a mask's edge"), "{sentence}");
}

/// Small limits keep what random bytes may claim cheap.
fn tight() -> Limits {
    Limits { max_pixels: 1 << 20, max_decoded_bytes: 16 << 20, ..Limits::default() }
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![small_png()];
    for name in [
        "420",
        "420_restarts",
        "progressive_420",
        "progressive_gray",
        "gray",
        "rgb",
        "cmyk",
        "ycck",
        "422",
    ] {
        seeds.push(jpeg(name));
    }
    let cases: Vec<serde_json::Value> =
        serde_json::from_slice(&std::fs::read(fixture("png.json")).unwrap()).unwrap();
    seeds.extend(cases.iter().map(|case| unhex(case["png"].as_str().unwrap())));
    seeds
}

/// Makes a PNG's checksums fit again, so that damage reaches the decoder behind them.
fn mend_checksums(bytes: &mut [u8]) {
    let mut position = 8;
    while let Some(length) = bytes.get(position..position + 4) {
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        let Some(body) = bytes.get(position + 4..(position + 8).saturating_add(length)) else {
            return;
        };
        let kind: [u8; 4] = body[..4].try_into().unwrap();
        let whole = chunk(&kind, &body[4..]);
        let Some(crc) = bytes.get_mut(position + 8 + length..position + 12 + length) else {
            return;
        };
        crc.copy_from_slice(&whole[whole.len() - 4..]);
        position += 12 + length;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(
        signature in prop::sample::select(vec![&b""[..], b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"]),
        body in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let bytes = [signature, &body].concat();
        let _ = Picture::decode(&bytes, &tight());
        let _ = Mask::decode(&bytes, &tight());
    }

    #[test]
    fn damaged_files_never_panic(
        file in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in prop::option::of((any::<prop::sample::Index>(), any::<prop::sample::Index>())),
    ) {
        let seeds = seeds();
        let mut bytes = seeds[file.index(seeds.len())].clone();
        for (place, value) in edits {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if let Some((from, to)) = cut {
            let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
            bytes.drain(from.min(to)..from.max(to));
        }
        mend_checksums(&mut bytes);
        if let Ok(picture) = Picture::decode(&bytes, &tight()) {
            prop_assert_eq!(picture.pixels().len() as u64, 3 * u64::from(picture.width()) * u64::from(picture.height()));
        }
        let _ = Mask::decode(&bytes, &tight());
    }
}
