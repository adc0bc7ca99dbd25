//! Where in a document a parser stopped, as a path: a broken cell of a table is found by its row and column, not by
//! counting bytes in a line of megabytes.

/// Steps of a path that are shown; deeper ones help nobody.
const STEPS: usize = 8;

/// Longest name of a member that is shown; a longer one is content rather than a name.
const NAME: usize = 40;

/// A list or an object that is open where the scan stands.
enum Open<'a> {
    List { at: usize },
    Object { name: Option<&'a str>, names_next: bool },
}

/// The path of the value at byte `offset` of a document that is well formed up to there, such as
/// `input_data.data[3][1]`; empty for the document itself.
pub(crate) fn path_at(text: &str, offset: usize) -> String {
    let text = &text[..text.floor_char_boundary(offset)];
    let mut open = Vec::new();
    let mut at = 0;
    while let Some(&byte) = text.as_bytes().get(at) {
        at += 1;
        match byte {
            b'{' => open.push(Open::Object { name: None, names_next: true }),
            b'[' => open.push(Open::List { at: 0 }),
            b'}' | b']' => {
                open.pop();
            }
            b',' => match open.last_mut() {
                Some(Open::List { at }) => *at += 1,
                Some(Open::Object { name, names_next }) => (*name, *names_next) = (None, true),
                None => {}
            },
            b'"' => {
                let content = string(text, at);
                at += content.len() + 1;
                if let Some(Open::Object { name, names_next: names_next @ true }) = open.last_mut()
                {
                    (*name, *names_next) = (Some(content), false);
                }
            }
            _ => {}
        }
    }
    shown(&open)
}

/// The content of the string that begins at `start`, as it is written.
fn string(text: &str, start: usize) -> &str {
    let rest = text.get(start..).unwrap_or_default();
    let mut escaped = false;
    let end = rest.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.and_then(|end| rest.get(..end)).unwrap_or(rest)
}

fn shown(open: &[Open<'_>]) -> String {
    let mut path = String::new();
    for step in open.iter().take(STEPS) {
        match step {
            Open::List { at } => path += &format!("[{at}]"),
            Open::Object { name: Some(name), .. } if is_name(name) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path += name;
            }
            Open::Object { .. } => return path,
        }
    }
    path
}

fn is_name(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    !text.is_empty() && text.len() <= NAME && text.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_where_a_parser_stopped_is_named() {
        let cases = [
            ("", ""),
            ("no json", ""),
            (r#"{"input_data": "#, "input_data"),
            (
                r#"{"input_data": {"columns": ["image", "text"], "data": [["a", "#,
                "input_data.data[0][1]",
            ),
            (r#"{"a": {"b": 1}, "data": [[1, 2], [3, [4]], ["#, "data[2][0]"),
            (r#"{"a": "quoted \" , [ { \\", "b": ["#, "b[0]"),
            (r#"{"a": 1, "#, ""),
            (r#"["text that is cut"#, "[0]"),
            (r#"{"Müller, Anna": {"x": "#, ""),
        ];
        for (text, path) in cases {
            assert_eq!(path_at(text, text.len()), path, "{text}");
        }
        assert_eq!(path_at(&"[".repeat(100_000), 100_000), "[0]".repeat(STEPS));
    }
}
