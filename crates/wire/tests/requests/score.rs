//! `POST /score` and `GET /score`.

use medparse_wire::{Fault, ScoreInput, WireError, WireLimits, parse_score, parse_score_query};

use crate::prompts;

/// The request example of the endpoint's documentation, byte for byte.
const DOCUMENTED: &str = include_str!("../../../../testdata/documented_request.json");

fn score(body: &str) -> Result<ScoreInput<'_>, WireError> {
    parse_score(body.as_bytes(), &WireLimits::default())
}

#[test]
fn the_documented_request_is_read() {
    let input = score(DOCUMENTED).unwrap();
    assert_eq!(prompts(&input), [["neoplastic", "inflammatory cells"]]);
    let png = input.rows[0].image.decode().unwrap();
    assert!(png.starts_with(b"\x89PNG\r\n\x1a\n") && png.ends_with(b"IEND\xaeB`\x82"));
}

#[test]
fn what_real_clients_vary_is_tolerated() {
    let same = [
        r#"{"input_data": {"columns": ["image", "text"], "index": [0], "data": [["aGk=", "a & b"]]}, "params": "sitk"}"#,
        r#"{"params": {"deep": [[1, null, true]]}, "input_data": {"columns": ["image", "text"], "index": [0], "data": [["aGk=", "a & b"]]}}"#,
        r#"{"params": null, "input_data": {"data": [["aGk=", "a & b"]], "index": ["row"], "columns": ["image", "text"]}}"#,
        r#"{"params": 1.5, "input_data": {"columns": ["text", "image"], "index": [0], "data": [["a & b", "aGk="]]}}"#,
        r#"{"input_data": {"columns": ["image", "text"], "index": 1, "data": [["aGk=", "a & b"]]}}"#,
        r#"{"input_data": {"columns": ["image", "text"], "data": [["aGk=", "a & b"]]}}"#,
        r#"{"input_data": {"columns": ["image", "text"], "index": null, "data": [["aGk=", "a & b"]]}}"#,
        r#"{"input_data": 3, "input_data": {"columns": ["image", "text"], "index": [0], "data": [["aGk=", "a & b"]]}}"#,
        "\u{feff}{\"input_data\": {\"columns\": [\"image\", \"text\"], \"index\": [0], \"data\": [[\"a\\nGk=\", \" a&b \"]]}}",
    ];
    for body in same {
        let input = score(body).unwrap_or_else(|error| panic!("{body}: {error}"));
        assert_eq!(prompts(&input), [["a", "b"]], "{body}");
        assert_eq!(input.rows[0].image.decode().unwrap(), b"hi", "{body}");
    }
}

#[test]
fn no_rows_are_no_error() {
    for index in ["[]", "0"] {
        let body = format!(
            r#"{{"input_data": {{"columns": ["image", "text"], "index": {index}, "data": []}}}}"#
        );
        assert!(score(&body).unwrap().rows.is_empty());
    }
}

#[test]
fn every_refusal_says_what_was_wrong() {
    let table = |columns: &str, index: &str, data: &str| {
        format!(r#"{{"input_data": {{"columns": {columns}, "index": {index}, "data": {data}}}}}"#)
    };
    let row = |cells: &str| table(r#"["image", "text"]"#, "[0]", &format!("[{cells}]"));
    let rows = vec![r#"["aGk=", "a"]"#; 257].join(", ");
    use Fault::{Content, Malformed, TooLarge};
    let cases: [(String, &str, Fault, &str); 25] = [
        ("[]".into(), "InvalidRequest", Malformed, "the body must be a JSON object; found a list"),
        (
            "".into(),
            "InvalidJson",
            Malformed,
            "the body is not valid JSON: EOF while parsing a value at line 1 column 0",
        ),
        (
            r#"{"input_data": NaN}"#.into(),
            "InvalidJson",
            Malformed,
            "the body is not valid JSON in input_data: expected value at line 1 column 16",
        ),
        (
            row(r#"["aGk=", "a"], ["aGk=", NaN]"#),
            "InvalidJson",
            Malformed,
            "the body is not valid JSON in row 1, item 1 (input_data.data[1][1]): expected value at line 1 column 94",
        ),
        // Another key's `data` has no rows.
        (
            r#"{"params": {"data": [[NaN]]}}"#.into(),
            "InvalidJson",
            Malformed,
            "the body is not valid JSON in params.data[0][0]: expected value at line 1 column 23",
        ),
        (
            "{}".into(),
            "InvalidRequest",
            Malformed,
            "input_data is missing; expected an object with \"columns\", \"index\" and \"data\"",
        ),
        (
            r#"{"input_data": "x"}"#.into(),
            "InvalidRequest",
            Malformed,
            "input_data must be an object with \"columns\", \"index\" and \"data\"; found a string",
        ),
        (
            r#"{"input_data": {"columns": ["image", "text"]}}"#.into(),
            "InvalidRequest",
            Malformed,
            "input_data.data is missing; expected a list of rows",
        ),
        (
            table(r#"["image"]"#, "[0]", "[]"),
            "InvalidColumns",
            Malformed,
            "input_data.columns must name the columns \"image\" and \"text\" once each, in either order; found [\"image\"]",
        ),
        (
            table(r#"["image", "image"]"#, "[0]", "[]"),
            "InvalidColumns",
            Malformed,
            "input_data.columns must name the columns \"image\" and \"text\" once each, in either order; found [\"image\", \"image\"]",
        ),
        (
            table(r#"["image", "text", "x"]"#, "[0]", "[]"),
            "InvalidColumns",
            Malformed,
            "input_data.columns must name the columns \"image\" and \"text\" once each, in either order; found [\"image\", \"text\", \"x\"]",
        ),
        (
            table(r#"["image", 7]"#, "[0]", "[]"),
            "InvalidRequest",
            Malformed,
            "input_data.columns[1] must be a column name; found a number",
        ),
        (
            table(r#"["image", "text"]"#, "[0, 1]", r#"[["aGk=", "a"]]"#),
            "IndexMismatch",
            Malformed,
            "input_data.index counts 2 rows; data has 1",
        ),
        (
            table(r#"["image", "text"]"#, "3", r#"[["aGk=", "a"]]"#),
            "IndexMismatch",
            Malformed,
            "input_data.index counts 3 rows; data has 1",
        ),
        (
            table(r#"["image", "text"]"#, "-1", r#"[["aGk=", "a"]]"#),
            "InvalidRequest",
            Malformed,
            "input_data.index must be a list with one entry for each row, or their count; found a number",
        ),
        (
            table(r#"["image", "text"]"#, "257", &format!("[{rows}]")),
            "TooManyRows",
            TooLarge,
            "the request has 257 rows; at most 256 are accepted",
        ),
        (
            row(r#"["aGk="]"#),
            "InvalidRow",
            Content,
            "row 0 (input_data.data[0]) has 1 items; expected 2, one for each column",
        ),
        (
            row(r#"["aGk=", "a", "b"]"#),
            "InvalidRow",
            Content,
            "row 0 (input_data.data[0]) has 3 items; expected 2, one for each column",
        ),
        (
            row(r#"{"image": "aGk="}"#),
            "InvalidRequest",
            Malformed,
            "input_data.data[0] must be a list of two strings; found an object",
        ),
        (
            row(r#"["aGk=", null]"#),
            "InvalidRow",
            Content,
            "row 0, column \"text\" (input_data.data[0][1]): expected sentences as a string, found null",
        ),
        (
            row(r#"[null, "a"]"#),
            "InvalidRow",
            Content,
            "row 0, column \"image\" (input_data.data[0][0]): expected a picture as a base64 string, found null",
        ),
        (
            row(r#"["aGk=", ["a"]]"#),
            "InvalidRow",
            Content,
            "row 0, column \"text\" (input_data.data[0][1]): expected sentences as a string, found a list",
        ),
        (
            row(r#"["aGk=", "a & & b"]"#),
            "InvalidText",
            Content,
            "row 0, column \"text\" (input_data.data[0][1]): sentence 2 of 3 is empty (sentences are separated by \"&\")",
        ),
        (
            row(r#"["aGk=", "\ud800"]"#),
            "InvalidText",
            Content,
            "row 0, column \"text\" (input_data.data[0][1]): the text is not valid Unicode (half of a surrogate pair)",
        ),
        (
            table(r#"["text", "image"]"#, "[0]", r#"[["a", null]]"#),
            "InvalidRow",
            Content,
            "row 0, column \"image\" (input_data.data[0][1]): expected a picture as a base64 string, found null",
        ),
    ];
    for (body, code, fault, sentence) in cases {
        let error = score(&body).expect_err(&body);
        assert_eq!(error.to_string(), sentence);
        assert_eq!(error.code(), code, "{error}");
        assert_eq!(error.fault(), fault, "{error}");
    }
}

#[test]
fn bytes_that_are_not_text_are_refused() {
    let error = parse_score(b"{\"input_data\": \"\xff\"}", &WireLimits::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the body is not UTF-8 in input_data: byte 16 starts an invalid sequence"
    );
    let utf16: Vec<u8> = "{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(matches!(parse_score(&utf16, &WireLimits::default()), Err(WireError::Syntax { .. })));
}

#[test]
fn deep_documents_are_refused_wherever_the_depth_is() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let bodies = [
        deep.clone(),
        format!(r#"{{"params": {deep}}}"#),
        format!(
            r#"{{"input_data": {{"columns": ["image", "text"], "index": {deep}, "data": []}}}}"#
        ),
        format!(
            r#"{{"input_data": {{"columns": ["image", "text"], "index": [0], "data": {deep}}}}}"#
        ),
        format!(
            r#"{{"input_data": {{"columns": ["image", "text"], "index": [0], "data": [[{deep}, "a"]]}}}}"#
        ),
        r#"{"a":"#.repeat(100_000),
    ];
    for body in bodies {
        assert!(score(&body).is_err());
    }
}

#[test]
fn a_list_of_millions_is_counted_and_not_kept() {
    let body = format!(
        r#"{{"input_data": {{"columns": ["image", "text"], "index": [0], "data": [{}]}}}}"#,
        vec!["[]"; 1_000_000].join(",")
    );
    assert_eq!(score(&body).unwrap_err(), WireError::TooManyRows { found: 1_000_000, limit: 256 });
}

#[test]
fn the_query_of_a_get_is_the_table_or_the_request() {
    let table = r#"{"columns": ["image", "text"], "index": [0], "data": [["aGk=", "a"]]}"#;
    for query in [table.to_owned(), format!(r#"{{"input_data": {table}}}"#)] {
        let input = parse_score_query(&query, &WireLimits::default()).unwrap();
        assert_eq!(prompts(&input), [["a"]]);
    }
}
