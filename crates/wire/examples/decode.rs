//! Reads requests as `tests/differential.py` sends them, and says what was read: one JSON line for each.
//!
//! A request on standard input is `s` (the body of `/score`) or `m` (of `/invocations`), its length (4 bytes,
//! little-endian) and so many bytes.

use std::io::{self, BufReader, BufWriter, Read, Write};

use medparse_wire::{ScoreInput, WireError, WireLimits, parse_invocations, parse_score};
use serde_json::{Value, json};

fn main() -> io::Result<()> {
    let mut input = BufReader::new(io::stdin().lock());
    let mut output = BufWriter::new(io::stdout().lock());
    let mut head = [0; 5];
    let mut body = Vec::new();
    while input.read_exact(&mut head).is_ok() {
        let [form, length @ ..] = head;
        body.resize(u32::from_le_bytes(length) as usize, 0);
        input.read_exact(&mut body)?;
        let limits = WireLimits::default();
        let parse = if form == b's' { parse_score } else { parse_invocations };
        let said = match parse(&body, &limits).and_then(rows) {
            Ok(rows) => json!({ "rows": rows }),
            Err(error) => json!({ "error": error.to_string() }),
        };
        writeln!(output, "{said}")?;
    }
    output.flush()
}

/// Pictures as base64 without line breaks, and sentences.
fn rows(input: ScoreInput<'_>) -> Result<Vec<Value>, WireError> {
    let read = |(at, row): (usize, &medparse_wire::Row<'_>)| {
        let picture = row.image.decode().map_err(|fault| input.base64_error(at, fault))?;
        Ok(json!([base64_simd::STANDARD.encode_to_string(picture), row.prompts]))
    };
    input.rows.iter().enumerate().map(read).collect()
}
