//! Writing a reply piece by piece: a JSON string inside JSON, its base64 encoded as the masks arrive.

use std::io::Write;

use base64_simd::STANDARD;

/// Which envelope a reply wears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Framing {
    /// `/score`: a bare list of rows.
    Score,
    /// `/invocations`: `{"predictions": [rows]}`.
    Mlflow,
    /// `/v2/models/{name}/infer`: two BYTES tensors, `image_features` and `text_features`.
    V2 {
        /// The name that was asked for.
        model: String,
        /// The model's version.
        version: String,
        /// The request's id, repeated.
        id: Option<String>,
        /// Rows of the reply, which stand in the header before the first of them.
        rows: usize,
    },
}

/// Writes a reply into buffers that the caller drains whenever it likes.
///
/// The calls follow the document: [`begin`](Self::begin), then for every row [`begin_row`](Self::begin_row),
/// [`mask`](Self::mask) any number of times and [`end_row`](Self::end_row), then [`end`](Self::end).
/// The encoder itself keeps at most two bytes of a mask; of a V2 reply it also keeps the categories, which that
/// protocol puts last.
#[derive(Debug)]
pub struct ReplyEncoder {
    framing: Framing,
    base64: Base64Stream,
    rows: usize,
    labels: Vec<u8>,
}

impl ReplyEncoder {
    /// An encoder for one reply.
    pub fn new(framing: Framing) -> Self {
        Self { framing, base64: Base64Stream::default(), rows: 0, labels: Vec::new() }
    }

    /// Opens the document.
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        match &self.framing {
            Framing::Score => out.push(b'['),
            Framing::Mlflow => out.extend_from_slice(b"{\"predictions\": ["),
            Framing::V2 { model, version, id, rows } => {
                out.extend_from_slice(b"{\"model_name\": ");
                write_json(out, model);
                out.extend_from_slice(b", \"model_version\": ");
                write_json(out, version);
                if let Some(id) = id {
                    out.extend_from_slice(b", \"id\": ");
                    write_json(out, id);
                }
                out.extend_from_slice(b", \"outputs\": [");
                begin_tensor(out, "image_features", *rows);
            }
        }
    }

    /// Opens the next row.
    pub fn begin_row(&mut self, out: &mut Vec<u8>) {
        if self.rows > 0 {
            out.extend_from_slice(b", ");
        }
        self.rows += 1;
        if !matches!(self.framing, Framing::V2 { .. }) {
            out.extend_from_slice(b"{\"image_features\": ");
        }
        out.extend_from_slice(b"\"{\\\"data\\\": \\\"");
    }

    /// Appends mask values (0 or 255) in C order `[prompts, height, width]`; any split of them will do.
    pub fn mask(&mut self, values: &[u8], out: &mut Vec<u8>) {
        self.base64.push(values, out);
    }

    /// Closes the row: its shape `[prompts, height, width]`, and one category for each prompt.
    pub fn end_row<S: AsRef<str>>(
        &mut self,
        shape: [usize; 3],
        categories: &[S],
        out: &mut Vec<u8>,
    ) {
        self.base64.finish(out);
        let [prompts, height, width] = shape;
        // Writing to a Vec never fails.
        let _ = write!(
            out,
            "\\\", \\\"shape\\\": [{prompts}, {height}, {width}], \\\"dtype\\\": \\\"uint8\\\"}}\""
        );
        if matches!(self.framing, Framing::V2 { .. }) {
            if !self.labels.is_empty() {
                self.labels.extend_from_slice(b", ");
            }
            let mut list = Vec::new();
            write_list(&mut list, categories);
            write_json(&mut self.labels, &String::from_utf8_lossy(&list));
        } else {
            out.extend_from_slice(b", \"text_features\": ");
            write_list(out, categories);
            out.push(b'}');
        }
    }

    /// Closes the document.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        match &self.framing {
            Framing::Score => out.push(b']'),
            Framing::Mlflow => out.extend_from_slice(b"]}"),
            Framing::V2 { rows, .. } => {
                out.extend_from_slice(b"]}, ");
                begin_tensor(out, "text_features", *rows);
                out.append(&mut self.labels);
                out.extend_from_slice(b"]}]}");
            }
        }
    }
}

fn begin_tensor(out: &mut Vec<u8>, name: &str, rows: usize) {
    let _ = write!(
        out,
        "{{\"name\": \"{name}\", \"datatype\": \"BYTES\", \"shape\": [{rows}], \"data\": ["
    );
}

fn write_list<S: AsRef<str>>(out: &mut Vec<u8>, items: &[S]) {
    out.push(b'[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.extend_from_slice(b", ");
        }
        write_json(out, item.as_ref());
    }
    out.push(b']');
}

fn write_json(out: &mut Vec<u8>, text: &str) {
    // A string always serializes, and a Vec takes all that is written.
    let _ = serde_json::to_writer(out, text);
}

/// Base64 of bytes that arrive in pieces: up to two wait until a group of three is whole.
#[derive(Debug, Default)]
struct Base64Stream {
    waiting: [u8; 3],
    held: usize,
}

impl Base64Stream {
    fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while self.held > 0 && self.held < 3 {
            let Some((&first, rest)) = bytes.split_first() else { return };
            self.waiting[self.held] = first;
            self.held += 1;
            bytes = rest;
        }
        if self.held == 3 {
            STANDARD.encode_append(self.waiting, out);
            self.held = 0;
        }
        let (groups, rest) = bytes.split_at(bytes.len() - bytes.len() % 3);
        STANDARD.encode_append(groups, out);
        self.waiting[..rest.len()].copy_from_slice(rest);
        self.held = rest.len();
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        STANDARD.encode_append(&self.waiting[..self.held], out);
        self.held = 0;
    }
}
