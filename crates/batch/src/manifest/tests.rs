use std::fs::File;
use std::sync::Arc;

use ::parquet::data_type::{ByteArray, ByteArrayType};
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;

use super::*;
use crate::Image;

/// A picture's base64, long enough to be told from a path.
fn base64() -> String {
    format!("iVBORw0KGgo{}", "A".repeat(89))
}

fn items(path: &Path) -> Vec<Item> {
    Manifest::open(path).unwrap().items().unwrap().collect::<Result<_, _>>().unwrap()
}

/// Each item's name, label and phrases.
fn told(items: &[Item]) -> Vec<(&str, &str, Option<&str>)> {
    items
        .iter()
        .map(|item| (item.name.as_str(), item.label.as_str(), item.text.as_deref()))
        .collect()
}

#[test]
fn a_csv_of_paths_is_named_after_its_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list.csv");
    let text =
        "\u{feff}Image,text,id\nday1/İ.NII.GZ,liver & spleen,\n a.png , ,left\n,liver,none\n";
    std::fs::write(&path, text).unwrap();
    let items = items(&path);
    assert_eq!(
        told(&items),
        [
            ("day1/İ", "0", Some("liver & spleen")),
            ("left", "left", None),
            ("none", "none", Some("liver")),
        ]
    );
    assert_eq!(items[0].image, Image::File(folder.path().join("day1/İ.NII.GZ")));
    assert_eq!(items[1].image, Image::File(folder.path().join("a.png")));
    assert_eq!(items[2].image, Image::Missing("its row has no picture".into()));
    assert!(!Manifest::open(&path).unwrap().is_inline().unwrap());
}

#[test]
fn azures_folder_of_tables_is_read_in_the_order_of_its_names() {
    let folder = tempfile::tempdir().unwrap();
    let base64 = base64();
    let two = format!(",image,text\n7,{base64},liver\n8,{base64},\n");
    std::fs::write(folder.path().join("b.csv"), two).unwrap();
    std::fs::write(folder.path().join("a.CSV"), format!("image\n{base64}\n")).unwrap();
    std::fs::write(folder.path().join("readme.txt"), "not a table").unwrap();
    let items = items(folder.path());
    assert_eq!(
        told(&items),
        [("a", "a.CSV", None), ("b-0", "b.csv#7", Some("liver")), ("b-1", "b.csv#8", None)]
    );
    assert!(items.iter().all(|item| item.image == Image::Base64(base64.clone())));
    let manifest = Manifest::open(folder.path()).unwrap();
    assert!(manifest.is_table() && manifest.is_inline().unwrap());
    assert_eq!(manifest.count(|item| item.text.is_none()).unwrap(), 2);
}

#[test]
fn a_json_line_that_holds_no_picture_fails_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list.ndjson");
    let lines = [
        r#"{"image": "a.png", "text": ["liver", "spleen"], "id": 12}"#,
        "",
        r#"{"image": 7}"#,
        r#"{"text": "liver"}"#,
        "{",
    ];
    std::fs::write(&path, format!("\u{feff}{}", lines.join("\n"))).unwrap();
    let items = items(&path);
    assert_eq!(told(&items)[0], ("12", "12", Some("liver&spleen")));
    let missing: Vec<String> =
        items[1..].iter().map(|item| item.image.inline().unwrap_err().to_string()).collect();
    assert_eq!(
        missing[..2],
        ["its row has a number where the picture should be", "its row has no picture"]
    );
    assert!(missing[2].starts_with("its row has a line that is no JSON ("), "{}", missing[2]);
}

#[test]
fn a_parquet_file_holds_bytes_or_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list.parquet");
    // Every writer calls the root otherwise: "schema", "spark_schema", "duckdb_schema", "root".
    let schema = "message spark_schema { required binary image; required binary text (UTF8); }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let file = File::create(&path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let columns: [[&[u8]; 2]; 2] = [[b"\x89PNG\r\n", b"day1/a.png"], [b"liver", b" "]];
    for values in columns {
        let values = values.map(|value| ByteArray::from(value.to_vec()));
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&values, None, None).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
    let items = items(&path);
    assert_eq!(told(&items), [("list-0", "0", Some("liver")), ("day1/a", "1", None)]);
    assert_eq!(items[0].image, Image::Bytes(b"\x89PNG\r\n".to_vec()));
    assert_eq!(items[1].image, Image::File(folder.path().join("day1/a.png")));
}

#[test]
fn what_cannot_be_a_manifest_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let sentence = Manifest::open(&file("list.txt", "")).unwrap_err().to_string();
    assert!(sentence.ends_with("ends in .csv, .jsonl, .ndjson or .parquet"), "{sentence}");
    let cases = [
        ("columns.csv", "picture,text\na.png,liver\n", "no column \"image\""),
        ("twice.csv", "image,id\na.png,x\nb.png,x\n", "two items are called \"x\""),
        ("outside.csv", "image,id\na.png,ok\nb.png,../x\n", "row 2: \"../x\" cannot be the name"),
        ("torn.parquet", "PAR1", "torn.parquet: "),
    ];
    for (name, text, expected) in cases {
        let manifest = Manifest::open(&file(name, text)).unwrap();
        let sentence = manifest.count(|_| true).unwrap_err().to_string();
        assert!(sentence.contains(expected), "{name}: {sentence}");
    }
}
