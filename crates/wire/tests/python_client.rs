//! Against Python: a script builds requests as the documentation's code does and decodes replies as the sample
//! notebooks do, with nothing but the standard library (and NumPy where it is installed).
#![expect(clippy::print_stderr, reason = "a skipped test says so")]

use std::io::Write;
use std::process::{Command, Stdio};

use medparse_wire::{CATEGORIES, Framing, ReplyEncoder, WireLimits, parse_score};

/// Runs the script; `None` where no Python is installed.
fn python(verb: &str, input: &[u8]) -> Option<Vec<u8>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/client.py");
    let spawned = Command::new("python3")
        .args([script, verb])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = spawned else {
        eprintln!("skipped: python3 is not installed");
        return None;
    };
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the script failed");
    Some(output.stdout)
}

/// Bytes of a fixed sequence, the same in `client.py`.
fn sequence(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(length)
    .collect()
}

#[test]
fn what_python_encodes_is_read() {
    let Some(requests) = python("encode", b"") else { return };
    let lines: Vec<&[u8]> =
        requests.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).collect();
    assert_eq!(lines.len(), 8);
    for (case, line) in lines.iter().enumerate() {
        let input = parse_score(line, &WireLimits::default())
            .unwrap_or_else(|error| panic!("case {case}: {error}"));
        assert_eq!(input.rows.len(), case);
        for (at, row) in input.rows.iter().enumerate() {
            assert_eq!(
                row.image.decode().unwrap(),
                sequence(50 + 37 * at, case as u32),
                "case {case}, row {at}"
            );
            assert_eq!(row.prompts, ["tumeur à droite", "œdème 🫀", "\"quoted\" \\ text"]);
        }
    }
}

#[test]
fn what_is_written_python_decodes() {
    let mut out = Vec::new();
    let mut encoder = ReplyEncoder::new(Framing::Score);
    encoder.begin(&mut out);
    let shapes = [[1, 1, 1], [2, 5, 7], [3, 16, 9]];
    let mut expected = String::new();
    for (at, [prompts, height, width]) in shapes.into_iter().enumerate() {
        encoder.begin_row(&mut out);
        let values: Vec<u8> = sequence(prompts * height * width, at as u32)
            .iter()
            .map(|byte| if byte & 1 == 1 { 255 } else { 0 })
            .collect();
        for chunk in values.chunks(11) {
            encoder.mask(chunk, &mut out);
        }
        let labels: Vec<_> = (0..prompts).map(|prompt| CATEGORIES[(at + prompt) % 16]).collect();
        encoder.end_row([prompts, height, width], &labels, &mut out);
        let foreground: Vec<_> = values
            .chunks(height * width)
            .map(|mask| mask.iter().filter(|&&value| value > 128).count())
            .collect();
        expected +=
            &format!("({prompts}, {height}, {width}) {foreground:?} {}\n", labels.join(","));
    }
    encoder.end(&mut out);
    let Some(read) = python("decode", &out) else { return };
    assert_eq!(String::from_utf8(read).unwrap(), expected);
}
