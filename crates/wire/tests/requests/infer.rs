//! `POST /v2/models/{name}/infer`: the Open Inference Protocol.

use medparse_wire::{WireLimits, parse_infer};

use crate::prompts;

#[test]
fn the_inference_protocol_is_read() {
    let tensors = |image: &str, text: &str| {
        format!(
            r#"{{"id": "7", "parameters": {{}}, "inputs": [
                {{"name": "image", "datatype": "BYTES", {image}}}, {{"name": "text", "datatype": "BYTES", {text}}}]}}"#
        )
    };
    let bodies = [
        tensors(
            r#""shape": [2], "data": ["aGk=", "aG8="]"#,
            r#""shape": [2], "data": ["a", "b & c"]"#,
        ),
        tensors(
            r#""shape": [2, 1], "data": [["aGk="], ["aG8="]]"#,
            r#""shape": [2, 1], "data": [["a"], ["b & c"]]"#,
        ),
        tensors(
            r#""shape": [2, 1], "data": ["aGk=", "aG8="]"#,
            r#""shape": [2], "data": ["a", "b & c"]"#,
        ),
    ];
    for body in bodies {
        let infer = parse_infer(body.as_bytes(), &WireLimits::default())
            .unwrap_or_else(|e| panic!("{body}: {e}"));
        assert_eq!(infer.id.as_deref(), Some("7"));
        assert_eq!(prompts(&infer.input), vec![vec!["a".to_owned()], vec!["b".into(), "c".into()]]);
    }
}

#[test]
fn refusals_name_the_tensor() {
    let refused = [
        (r#"{}"#, "inputs is missing; expected the tensors \"image\" and \"text\""),
        (
            r#"{"inputs": []}"#,
            "inputs must name the columns \"image\" and \"text\" once each, in either order; found 0 tensors",
        ),
        (
            r#"{"inputs": [{"name": "image", "datatype": "FP32", "shape": [1], "data": [1]}, {}]}"#,
            "inputs[0] has the datatype \"FP32\"; expected \"BYTES\"",
        ),
        (
            r#"{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["aGk="]}, {"name": "image", "datatype": "BYTES", "shape": [1], "data": ["aGk="]}]}"#,
            "inputs[1] repeats the tensor \"image\"",
        ),
        (
            r#"{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [2], "data": ["aGk="]}, {}]}"#,
            "inputs[0] has a shape of 2 rows and 1 items in its data",
        ),
        (
            r#"{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 9}}, {}]}"#,
            "inputs[0].data is missing; expected a list of strings (binary tensor data is not accepted)",
        ),
        (
            r#"{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [null]}, {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a"]}]}"#,
            "row 0, column \"image\" (inputs[0].data[0]): expected a picture as a base64 string, found null",
        ),
        (
            r#"{"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["aGk="]}, {"name": "text", "datatype": "BYTES", "shape": [1, 2], "data": ["a"]}]}"#,
            "inputs[1] has another shape than [n] or [n, 1]",
        ),
    ];
    for (body, sentence) in refused {
        let error = parse_infer(body.as_bytes(), &WireLimits::default()).expect_err(body);
        assert_eq!(error.to_string(), sentence);
        assert!(error.target().is_some_and(|path| path.starts_with("inputs")), "{sentence}");
    }
}
