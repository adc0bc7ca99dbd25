//! A picture's base64 against a plain decoder of the same rule.

use medparse_wire::EncodedImage;

/// Decodes bytes as base64 in a JSON string, twice.
pub fn compare(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let token = format!("\"{text}\"");
    // Only what a JSON string is reaches the decoder.
    let Ok(string) = serde_json::from_str::<String>(&token) else { return };
    let found = EncodedImage::from_token(&token).decode();
    if let Err(fault) = &found {
        assert!(!fault.to_string().is_empty());
    }
    assert_eq!(found.ok(), plain(&string).filter(|decoded| !decoded.is_empty()));
}

/// The "forgiving" decoding of the WHATWG's Infra Standard, one character at a time: ASCII white space is skipped, padding
/// may be absent but not wrong, bits left over are dropped.
fn plain(string: &str) -> Option<Vec<u8>> {
    let blank = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\x0c' | b'\r' | b' ');
    let mut symbols: Vec<u8> = string.bytes().filter(|byte| !blank(byte)).collect();
    if symbols.len().is_multiple_of(4) {
        for _ in 0..2 {
            if symbols.last() == Some(&b'=') {
                symbols.pop();
            }
        }
    }
    if symbols.len() % 4 == 1 {
        return None;
    }
    let (mut decoded, mut held, mut bits) = (Vec::new(), 0_u32, 0);
    for symbol in symbols {
        let value = match symbol {
            b'A'..=b'Z' => symbol - b'A',
            b'a'..=b'z' => symbol - b'a' + 26,
            b'0'..=b'9' => symbol - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        held = (held << 6 | u32::from(value)) & 0xfff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            decoded.push((held >> bits) as u8);
        }
    }
    Some(decoded)
}
