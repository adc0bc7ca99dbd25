//! Pictures that are looked at region by region.

use medparse_imaging::{
    Error, Limits, OpenOptions, Picture, Region, Regions, TiffRegions, open, procedural,
};

/// A TIFF of RGB tiles, not compressed, those at the right and lower border filled up.
fn tiled(picture: &Picture, side: u32) -> Vec<u8> {
    let (width, height) = picture.dimensions();
    let (across, down) = (width.div_ceil(side), height.div_ceil(side));
    let tiles = across * down;
    let length = side * side * 3;
    let entries: [(u16, u16, u32, u32); 11] = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 3, 0),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (277, 3, 1, 3),
        (284, 3, 1, 1),
        (322, 4, 1, side),
        (323, 4, 1, side),
        (324, 4, tiles, 0),
        (325, 4, tiles, 0),
    ];
    let directory_end = 8 + 2 + 12 * entries.len() as u32 + 4;
    let (bits, offsets, counts) = (directory_end, directory_end + 6, directory_end + 6 + 4 * tiles);
    let data = counts + 4 * tiles;
    let mut bytes = b"II*\0\x08\0\0\0".to_vec();
    bytes.extend((entries.len() as u16).to_le_bytes());
    for (tag, kind, count, value) in entries {
        let value = match tag {
            258 => bits,
            // One number stands in its entry itself.
            324 if tiles == 1 => data,
            324 => offsets,
            325 if tiles == 1 => length,
            325 => counts,
            _ => value,
        };
        bytes.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
        bytes.extend([count.to_le_bytes(), value.to_le_bytes()].concat());
    }
    bytes.extend([0; 4]);
    bytes.extend([8, 0, 8, 0, 8, 0]);
    bytes.extend((0..tiles).flat_map(|tile| (data + tile * length).to_le_bytes()));
    bytes.extend((0..tiles).flat_map(|_| length.to_le_bytes()));
    for tile in 0..tiles {
        let (left, top) = (tile % across * side, tile / across * side);
        for y in top..top + side {
            for x in left..left + side {
                let at = (y * width + x) as usize * 3;
                let inside = x < width && y < height;
                bytes.extend(if inside { &picture.pixels()[at..at + 3] } else { &[9, 9, 9] });
            }
        }
    }
    bytes
}

/// A TIFF of strips of so many rows.
fn strips(picture: &Picture, rows: u32) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let mut encoder = tiff::encoder::TiffEncoder::new(&mut bytes).unwrap();
    let mut image = encoder
        .new_image::<tiff::encoder::colortype::RGB8>(picture.width(), picture.height())
        .unwrap();
    image.rows_per_strip(rows).unwrap();
    image.write_data(picture.pixels()).unwrap();
    bytes.into_inner()
}

#[test]
fn regions_of_a_file_are_regions_of_its_picture() {
    let picture = procedural::cells(203, 150, 4).unwrap().picture;
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [
        ("tiled.tif", tiled(&picture, 64)),
        ("one.tif", tiled(&picture, 256)),
        ("strips.tif", strips(&picture, 7)),
        // What many writers state for one strip of all rows.
        ("whole.tif", strips(&picture, u32::MAX)),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        // So little memory that nothing is kept from one region to the next.
        for limits in
            [Limits::default(), Limits { max_decoded_bytes: 256 * 256 * 3, ..Limits::default() }]
        {
            let large = TiffRegions::open(&path, &limits).unwrap().unwrap();
            assert_eq!(large.dimensions(), (203, 150));
            for (x, y, width, height) in [
                (0, 0, 203, 150),
                (60, 60, 10, 10),
                (190, 140, 13, 10),
                (0, 149, 203, 1),
                (202, 0, 1, 150),
                (5, 3, 70, 130),
            ] {
                let region = Region { x, y, width, height };
                let expected = picture.region(region).unwrap();
                let found = large.region(region).unwrap();
                assert!(found.pixels() == expected.pixels(), "{name} {region:?}");
            }
            assert!(matches!(
                large.region(Region { x: 200, y: 0, width: 4, height: 1 }),
                Err(Error::SizesDiffer { .. })
            ));
        }
        // Read at once it is the same picture.
        let whole = open(&path, &OpenOptions::default()).unwrap();
        assert_eq!(whole.dimensions(), [203, 150, 1]);
    }
}

#[test]
fn what_is_no_tiff_or_is_cut_is_told() {
    let picture = procedural::cells(100, 80, 4).unwrap().picture;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tif");
    picture.save_png(&path).unwrap();
    assert!(TiffRegions::open(&path, &Limits::default()).unwrap().is_none());
    let bytes = tiled(&picture, 32);
    for length in (8..bytes.len()).step_by(997) {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let whole = Region { x: 0, y: 0, width: 100, height: 80 };
        let read = TiffRegions::open(&path, &Limits::default())
            .and_then(|large| large.unwrap().region(whole));
        match read {
            Err(error) => {
                let sentence = error.to_string();
                assert!(sentence.contains("a.tif"), "{sentence}");
                assert!(!sentence.contains("after 0 bytes"), "{sentence}");
            }
            // What fills up the last tile may be lost.
            Ok(read) => assert!(read.pixels() == picture.pixels(), "half a picture from {length}"),
        }
    }
    std::fs::write(&path, tiled(&picture, 4096)).unwrap();
    let small = Limits { max_decoded_bytes: 1 << 20, ..Limits::default() };
    let sentence = TiffRegions::open(&path, &small).unwrap_err().to_string();
    assert!(sentence.contains("one strip or tile of the TIFF, 4096×4096 pixels"), "{sentence}");
}

#[test]
fn an_outline_has_no_pixels_and_says_so() {
    use medparse_imaging::{Tone, View};
    let picture = procedural::cells(50, 40, 4).unwrap().picture;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tif");
    std::fs::write(&path, tiled(&picture, 16)).unwrap();
    let outline = TiffRegions::open(&path, &Limits::default()).unwrap().unwrap().outline();
    assert_eq!((outline.dimensions(), outline.voxels()), ([50, 40, 1], 2000));
    let view = View::stored(outline.dimensions());
    let sentence = outline.picture(&view, 0, &Tone::Auto).unwrap_err().to_string();
    assert!(sentence.contains("read in regions only"), "{sentence}");
}
