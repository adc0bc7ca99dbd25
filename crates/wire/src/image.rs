use memchr::memchr;
use serde_json::value::RawValue;
use thiserror::Error;

/// A picture as it stands in the request: a JSON string of base64, borrowed and not yet decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodedImage<'a> {
    token: &'a str,
}

/// Why a string is not the base64 of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Base64Fault {
    /// A character outside the standard alphabet.
    #[error("the picture is not base64: character {at} is outside the standard alphabet")]
    Character {
        /// Position of the character in the string, counted from 0, line breaks included.
        at: usize,
    },
    /// The length is impossible or the padding is wrong.
    #[error(
        "the picture is not base64: {symbols} characters of the alphabet and {padding} of padding make no whole bytes"
    )]
    Length {
        /// Characters of the alphabet.
        symbols: usize,
        /// `=` characters.
        padding: usize,
    },
    /// Nothing there.
    #[error("the picture is empty")]
    Empty,
}

impl<'a> EncodedImage<'a> {
    pub(crate) fn new(raw: &'a RawValue) -> Self {
        Self { token: raw.get() }
    }

    /// The picture in a JSON string token, quotes included, as [`token`](Self::token) returned it.
    pub fn from_token(token: &'a str) -> Self {
        Self { token }
    }

    /// The JSON string token, quotes included: a slice of the request body.
    pub fn token(&self) -> &'a str {
        self.token
    }

    /// The bytes of the picture file.
    ///
    /// Line breaks and blanks are skipped anywhere, as Python's `encodebytes` writes them; padding may be absent.
    /// Anything else outside the standard alphabet is refused.
    pub fn decode(&self) -> Result<Vec<u8>, Base64Fault> {
        let quoted = self.token.as_bytes();
        let inner =
            quoted.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(quoted);
        let mut text = unescape(inner)?;
        let length = match base64_simd::forgiving_decode_inplace(&mut text) {
            Ok(decoded) => decoded.len(),
            // The decoder works in place, so the reason is looked for in a fresh copy.
            Err(_) => return Err(explain(&unescape(inner)?)),
        };
        if length == 0 {
            return Err(Base64Fault::Empty);
        }
        text.truncate(length);
        Ok(text)
    }
}

/// Undoes JSON escapes; only escapes that can stand for base64 or white space are accepted.
fn unescape(inner: &[u8]) -> Result<Vec<u8>, Base64Fault> {
    let mut text = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = memchr(b'\\', rest) {
        let (plain, escape) = rest.split_at(at);
        text.extend_from_slice(plain);
        let (byte, length) = match escape.get(1) {
            Some(b'n' | b'r' | b't' | b'f') => (b'\n', 2),
            Some(b'/') => (b'/', 2),
            Some(b'u') => {
                (unicode_escape(escape).ok_or(Base64Fault::Character { at: text.len() })?, 6)
            }
            _ => return Err(Base64Fault::Character { at: text.len() }),
        };
        text.push(byte);
        rest = &escape[length..];
    }
    text.extend_from_slice(rest);
    Ok(text)
}

/// The ASCII character that `\uXXXX` stands for.
fn unicode_escape(escape: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(escape.get(2..6)?).ok()?;
    u8::try_from(u32::from_str_radix(digits, 16).ok()?).ok().filter(u8::is_ascii)
}

fn explain(text: &[u8]) -> Base64Fault {
    let (mut symbols, mut padding) = (0, 0);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' if padding == 0 => symbols += 1,
            b'=' => padding += 1,
            b' ' | b'\n' | b'\r' | b'\t' | b'\x0c' => {}
            _ => return Base64Fault::Character { at },
        }
    }
    Base64Fault::Length { symbols, padding }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_clients_send() {
        let cases: [(&str, &[u8]); 6] = [
            (r#""aGVsbG8=""#, b"hello"),
            (r#""aGVs\nbG8=\n""#, b"hello"),
            (r#""aGVs\r\n bG8=""#, b"hello"),
            (r#""aGVsbG8""#, b"hello"),
            (r#""\/\/8=""#, b"\xff\xff"),
            (r#""\u0061GVsbG8\u003d""#, b"hello"),
        ];
        for (token, bytes) in cases {
            assert_eq!(EncodedImage::from_token(token).decode().as_deref(), Ok(bytes), "{token}");
        }
    }

    #[test]
    fn names_what_is_wrong() {
        let cases = [
            (r#""aGV*bG8=""#, Base64Fault::Character { at: 3 }),
            (r#""aGV\"bG8=""#, Base64Fault::Character { at: 3 }),
            (r#""aG\u00e9=""#, Base64Fault::Character { at: 2 }),
            (r#""aGVsb""#, Base64Fault::Length { symbols: 5, padding: 0 }),
            (r#""aG=sbG8=""#, Base64Fault::Character { at: 3 }),
            (r#""aGVs====""#, Base64Fault::Length { symbols: 4, padding: 4 }),
            (r#""\n""#, Base64Fault::Empty),
            (r#""""#, Base64Fault::Empty),
        ];
        for (token, fault) in cases {
            assert_eq!(EncodedImage::from_token(token).decode(), Err(fault), "{token}");
        }
    }
}
