use std::fmt::Write;
use std::path::Path;

/// The smallest request: the documentation's own picture of two by two pixels, and two sentences.
pub const SAMPLE_REQUEST: &str = "{\"input_data\": {\"columns\": [\"image\", \"text\"], \"index\": [0], \"data\": \
    [[\"iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAYAAABytg0kAAAAAXNSR0IArs4c6QAAAARnQU1BAACxjwv8YQUAAAAJcEhZcwAAFiUAABYl\
    AUlSJPAAAAAbSURBVBhXY/gUoPS/fhfDfwaGJe///9/J8B8AVGwJ5VDvPeYAAAAASUVORK5CYII=\", \
    \"neoplastic & inflammatory cells\"]]}}";

/// A `curl` line that sends [`SAMPLE_REQUEST`] to a scoring URI, with a key and the certificate of a local authority
/// where there are such.
pub fn curl_line(uri: &str, key: Option<&str>, authority: Option<&Path>) -> String {
    let mut line = format!("curl {uri}");
    // Writing to a String never fails.
    if let Some(file) = authority {
        let _ = write!(line, " --cacert '{}'", file.display());
    }
    if let Some(key) = key {
        let _ = write!(line, " -H 'Authorization: Bearer {key}'");
    }
    let _ = write!(line, " -H 'Content-Type: application/json' -d '{SAMPLE_REQUEST}'");
    line
}
