//! `POST /invocations`: the forms of an MLflow scoring server.

use medparse_wire::{WireLimits, parse_invocations};

use crate::prompts;

#[test]
fn mlflow_forms_are_read() {
    let record = r#"[{"image": "aGk=", "text": "a"}, {"text": "b & c", "image": "aG8="}]"#;
    let split = r#"{"columns": ["image", "text"], "data": [["aGk=", "a"], ["aG8=", "b & c"]]}"#;
    let bodies = [
        format!(r#"{{"dataframe_split": {split}}}"#),
        format!(r#"{{"dataframe_records": {record}, "params": {{"a": 1}}}}"#),
        format!(r#"{{"instances": {record}}}"#),
        format!(r#"{{"inputs": {record}}}"#),
        r#"{"inputs": {"image": ["aGk=", "aG8="], "text": ["a", "b & c"]}}"#.to_owned(),
        format!(r#"{{"input_data": {split}}}"#),
    ];
    for body in bodies {
        let input = parse_invocations(body.as_bytes(), &WireLimits::default())
            .unwrap_or_else(|e| panic!("{body}: {e}"));
        assert_eq!(
            prompts(&input),
            vec![vec!["a".to_owned()], vec!["b".into(), "c".into()]],
            "{body}"
        );
        assert_eq!(input.rows[1].image.decode().unwrap(), b"ho");
    }
}

#[test]
fn mlflow_refusals_name_row_and_column() {
    let cases = [
        (
            "{}",
            "dataframe_split is missing; expected one of \"dataframe_split\", \"dataframe_records\", \"instances\", \"inputs\"",
        ),
        (
            r#"{"instances": 3}"#,
            "instances must be a list of {\"image\", \"text\"} objects, or an object of two lists; found a number",
        ),
        (
            r#"{"instances": [3]}"#,
            "instances[0] must be an object with \"image\" and \"text\"; found a number",
        ),
        (
            r#"{"instances": [{"image": "aGk="}]}"#,
            "row 0, column \"text\" (instances[0].text): the column is missing",
        ),
        (
            r#"{"instances": [{"image": "aGk=", "text": "a", "x": 1}]}"#,
            "row 0 (instances[0]) has the column \"x\"; expected \"image\" and \"text\" only",
        ),
        (
            r#"{"inputs": {"image": ["aGk="], "text": [null]}}"#,
            "row 0, column \"text\" (inputs.text[0]): expected sentences as a string, found null",
        ),
        (r#"{"inputs": {"image": ["aGk="], "text": []}}"#, "inputs.text counts 0 rows; data has 1"),
        (
            r#"{"inputs": {"image": ["aGk="]}}"#,
            "inputs.text is missing; expected a list of strings",
        ),
        (
            r#"{"instances": [], "params": 1, "inputs": []}"#,
            "expected the rows in one form; found both \"instances\" and \"inputs\"",
        ),
    ];
    for (body, sentence) in cases {
        let error = parse_invocations(body.as_bytes(), &WireLimits::default()).expect_err(body);
        assert_eq!(error.to_string(), sentence);
    }
}
