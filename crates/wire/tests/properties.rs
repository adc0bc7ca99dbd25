//! Properties: no input panics, and what one side writes the other reads, however it is cut into pieces.

use medparse_wire::{
    CATEGORIES, Framing, ReplyEncoder, WireLimits, parse_infer, parse_invocations, parse_score,
    read_score_reply,
};
use proptest::prelude::*;

/// JSON-like rubbish: pieces of a request in any order.
fn rubbish() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "null",
        "1",
        "-1e400",
        "\"input_data\"",
        "\"columns\"",
        "\"index\"",
        "\"data\"",
        "\"image\"",
        "\"text\"",
        "\"inputs\"",
        "\"instances\"",
        "\"shape\"",
        "\"aGk=\"",
        "\"a & b\"",
        "\\ud800",
        "\u{e9}",
        " ",
    ]);
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat().into_bytes()),
    ]
}

/// Encodes one reply, feeding every mask in pieces of the given sizes.
fn encode(framing: Framing, rows: &[Vec<Vec<u8>>], shape: [usize; 2], cuts: &[usize]) -> Vec<u8> {
    let mut encoder = ReplyEncoder::new(framing);
    let mut out = Vec::new();
    let mut cuts = cuts.iter().cycle();
    encoder.begin(&mut out);
    for masks in rows {
        encoder.begin_row(&mut out);
        for mask in masks {
            let mut rest = &mask[..];
            while !rest.is_empty() {
                let (piece, tail) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                encoder.mask(piece, &mut out);
                rest = tail;
            }
        }
        let labels = vec![CATEGORIES[9]; masks.len()];
        encoder.end_row([masks.len(), shape[0], shape[1]], &labels, &mut out);
    }
    encoder.end(&mut out);
    out
}

fn reply() -> impl Strategy<Value = (Vec<Vec<Vec<u8>>>, [usize; 2])> {
    (1usize..9, 1usize..9).prop_flat_map(|(height, width)| {
        let mask = prop::collection::vec(prop::sample::select(vec![0u8, 255]), height * width);
        let row = prop::collection::vec(mask, 1..4);
        prop::collection::vec(row, 0..4).prop_map(move |rows| (rows, [height, width]))
    })
}

/// What Python's `str.strip` removes.
fn is_blank(character: char) -> bool {
    character.is_whitespace() || ('\x1c'..='\x1f').contains(&character)
}

proptest! {
    #[test]
    fn no_input_panics(body in rubbish()) {
        let limits = WireLimits::default();
        for input in [parse_score(&body, &limits), parse_invocations(&body, &limits), parse_infer(&body, &limits).map(|infer| infer.input)].into_iter().flatten() {
            for row in input.rows {
                prop_assert!(!row.prompts.is_empty());
                let _ = row.image.decode();
            }
        }
    }

    #[test]
    fn a_row_is_read_back_as_it_was_sent(bytes in prop::collection::vec(any::<u8>(), 1..300), sentences in prop::collection::vec("[^&]*[^&\\s\\x1c-\\x1f]", 1..5), width in 1usize..100) {
        let base64 = base64_simd::STANDARD.encode_to_string(&bytes);
        let lines: Vec<&str> = base64.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect();
        let body = serde_json::json!({"input_data": {"columns": ["text", "image"], "index": [0], "data": [[sentences.join(" & "), lines.join("\n")]]}}).to_string();
        let input = parse_score(body.as_bytes(), &WireLimits::default()).unwrap();
        prop_assert_eq!(input.rows[0].image.decode().unwrap(), bytes);
        let trimmed: Vec<_> = sentences.iter().map(|s| s.trim_matches(is_blank).to_owned()).collect();
        prop_assert_eq!(&input.rows[0].prompts, &trimmed);
    }

    #[test]
    fn a_reply_does_not_depend_on_how_it_is_cut((rows, shape) in reply(), cuts in prop::collection::vec(1usize..20, 1..6)) {
        let whole = encode(Framing::Score, &rows, shape, &[usize::MAX]);
        prop_assert_eq!(&encode(Framing::Score, &rows, shape, &cuts), &whole);
        let read = read_score_reply(&whole).unwrap();
        prop_assert_eq!(read.len(), rows.len());
        for (read, row) in read.iter().zip(&rows) {
            let masks = read.masks().unwrap();
            prop_assert_eq!(masks.shape, [row.len(), shape[0], shape[1]]);
            prop_assert_eq!(&masks.values, &row.concat());
            prop_assert_eq!(masks.prompt(0).unwrap(), &row[0][..]);
            prop_assert!(masks.prompt(row.len()).is_none());
        }
        let mlflow: serde_json::Value = serde_json::from_slice(&encode(Framing::Mlflow, &rows, shape, &cuts)).unwrap();
        let bare: serde_json::Value = serde_json::from_slice(&whole).unwrap();
        prop_assert_eq!(&mlflow["predictions"], &bare);
        let v2 = Framing::V2 { model: "m\"".into(), version: "1".into(), id: Some("i".into()), rows: rows.len() };
        let v2: serde_json::Value = serde_json::from_slice(&encode(v2, &rows, shape, &cuts)).unwrap();
        prop_assert_eq!(&v2["model_name"], "m\"");
        for (at, row) in bare.as_array().unwrap().iter().enumerate() {
            prop_assert_eq!(&v2["outputs"][0]["data"][at], &row["image_features"]);
            let labels: serde_json::Value = serde_json::from_str(v2["outputs"][1]["data"][at].as_str().unwrap()).unwrap();
            prop_assert_eq!(&labels, &row["text_features"]);
        }
    }
}
