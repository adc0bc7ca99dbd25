//! UTF-8 with two liberties that faulty encoders take: CESU-8 surrogate pairs and Java's two-byte
//! zero.

/// Decodes `bytes`, or `None` where they are not UTF-8 even with these liberties.
///
/// The liberties are those of ftfy's `utf-8-variants`: a surrogate pair written as two three-byte
/// sequences (Unicode Technical Report 26), and 0xC0 0x80 for U+0000.
pub(super) fn decode(bytes: &[u8]) -> Option<String> {
    let mut decoded = String::with_capacity(bytes.len());
    let mut plain_from = 0;
    let mut position = 0;
    while position < bytes.len() {
        let (character, length) = match &bytes[position..] {
            [0xC0, 0x80, ..] => ('\0', 2),
            // ftfy's expression ends in `$`, which also matches before a final line break and
            // swallows it.
            [0xC0, b'\n'] => ('\0', 2),
            [
                0xED,
                a @ 0xA0..=0xAF,
                b @ 0x80..=0xBF,
                0xED,
                c @ 0xB0..=0xBF,
                d @ 0x80..=0xBF,
                ..,
            ] => (surrogate_pair([*a, *b, *c, *d])?, 6),
            _ => {
                position += 1;
                continue;
            }
        };
        decoded.push_str(std::str::from_utf8(&bytes[plain_from..position]).ok()?);
        decoded.push(character);
        position += length;
        plain_from = position;
    }
    decoded.push_str(std::str::from_utf8(&bytes[plain_from..]).ok()?);
    Some(decoded)
}

/// The character whose surrogates carry these payload bytes.
fn surrogate_pair([a, b, c, d]: [u8; 4]) -> Option<char> {
    let bits = |byte: u8, mask: u8| u32::from(byte & mask);
    let above_plane_0 =
        (bits(a, 0x0F) << 16) | (bits(b, 0x3F) << 10) | (bits(c, 0x0F) << 6) | bits(d, 0x3F);
    char::from_u32(0x1_0000 + above_plane_0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_decode_and_errors_do_not() {
        assert_eq!(decode("liver µ 💩".as_bytes()).as_deref(), Some("liver µ 💩"));
        assert_eq!(decode(b"a\xc0\x80b").as_deref(), Some("a\0b"));
        assert_eq!(decode(b"a\xc0\n").as_deref(), Some("a\0"));
        assert_eq!(decode(b"\xed\xa0\xbd\xed\xb2\xa9!").as_deref(), Some("💩!"));
        for bytes in
            [&b"\xed\xa0\xbd"[..], b"\xff", b"\xc0", b"\xc0\na", b"\xed\xb2\xa9\xed\xa0\xbd"]
        {
            assert_eq!(decode(bytes), None, "{bytes:x?}");
        }
    }
}
