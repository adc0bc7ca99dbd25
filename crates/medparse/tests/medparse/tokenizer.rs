//! The tokenizer against the ids that the reference's tokenizer gave.

use crate::common;

use medparse::tokenizer::Tokenizer;
use serde::Deserialize;

#[derive(Deserialize)]
struct Row {
    text: String,
    ids: Vec<u32>,
    truncated: Option<bool>,
}

fn compare(rows: &[Row]) {
    let tokenizer = Tokenizer::new();
    for Row { text, ids, truncated } in rows {
        let tokens = tokenizer.encode(text);
        assert_eq!(tokens.ids(), ids, "{text:?}");
        if let Some(truncated) = truncated {
            assert_eq!(tokens.is_truncated(), *truncated, "{text:?}");
        }
    }
}

#[test]
fn phrases_and_the_class_bank() {
    let rows: Vec<Row> = common::json("extra/tokenizer.json");
    assert_eq!(rows.len(), 229);
    compare(&rows);
}

/// Entities, mojibake of ten code pages, scripts, controls, markers, long texts.
#[test]
fn what_people_paste() {
    let rows: Vec<Row> = common::json("text/tokenizer_extra.json");
    assert_eq!(rows.len(), 900);
    compare(&rows);
}
