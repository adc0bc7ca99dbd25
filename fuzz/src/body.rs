//! Every body that the endpoint reads, and the reply that the client reads: what is taken as JSON is JSON, and what is
//! taken as rows obeys the limits.

use medparse_wire::{
    ScoreInput, SegmentRequest, WireError, WireLimits, parse_infer, parse_invocations, parse_score,
    parse_score_query, read_score_reply,
};
use serde::de::IgnoredAny;

const LIMITS: WireLimits = WireLimits { rows: 4, prompts: 3, text_bytes: 64 };

/// Reads bytes as everything that travels.
pub fn read(body: &[u8]) {
    requests(body);
    if let Ok(rows) = read_score_reply(body) {
        for masks in rows.iter().map(medparse_wire::ScoreRow::masks) {
            match masks {
                Ok(masks) => drop((masks.prompt(0), masks.prompt(usize::MAX))),
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
    }
    let _ = serde_json::from_slice::<SegmentRequest>(body);
}

fn requests(body: &[u8]) {
    rows(body, parse_score(body, &LIMITS));
    rows(body, parse_invocations(body, &LIMITS));
    if let Ok(query) = std::str::from_utf8(body) {
        rows(body, parse_score_query(query, &LIMITS));
    }
    if let Err(error) = parse_infer(body, &LIMITS) {
        assert!(!error.to_string().is_empty());
    }
}

fn rows(body: &[u8], parsed: Result<ScoreInput<'_>, WireError>) {
    match parsed {
        Ok(input) => {
            assert!(serde_json::from_slice::<IgnoredAny>(body).is_ok(), "rows in what is no JSON");
            assert!(input.rows.len() <= LIMITS.rows);
            for (row, entry) in input.rows.iter().enumerate() {
                assert!((1..=LIMITS.prompts).contains(&entry.prompts.len()));
                assert!(entry.prompts.iter().all(|prompt| !prompt.trim().is_empty()));
                if let Err(fault) = entry.image.decode() {
                    assert!(!input.base64_error(row, fault).to_string().is_empty());
                }
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
