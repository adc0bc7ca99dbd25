//! A local HTTP server, and on it the part of the hub's protocol that a pull uses.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use sha1::{Digest, Sha1};
use sha2::Sha256;

/// The commit that `main` of every fake repository means.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub target: String,
    headers: Vec<(String, String)>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// One answer to give.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Where the connection is cut, in bytes of the body.
    pub cut: Option<usize>,
    /// Waited before the headers.
    pub delay: Duration,
    /// Waited between pieces of `piece` bytes.
    pub pace: Duration,
    pub piece: usize,
}

impl Reply {
    pub fn new(status: u16) -> Self {
        let (delay, pace) = (Duration::ZERO, Duration::ZERO);
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            cut: None,
            delay,
            pace,
            piece: 1 << 16,
        }
    }

    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.into(), value.to_string()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(key, _)| key != name);
        self
    }
}

/// One request and what went back.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub request: Request,
    pub status: u16,
    /// Bytes of the body that were sent.
    pub sent: usize,
}

/// A server that runs until the test process ends.
pub struct Server {
    pub url: String,
    log: Arc<Mutex<Vec<Exchange>>>,
}

type Answer = dyn Fn(&Request) -> Reply + Send + Sync;

impl Server {
    pub fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::listen("http", answer, Some)
    }

    /// A server that speaks TLS with the given certificate for `localhost`.
    pub fn start_tls(
        config: Arc<rustls::ServerConfig>,
        answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::listen("https", answer, move |stream| {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).ok()?;
            Some(rustls::StreamOwned::new(connection, stream))
        })
    }

    fn listen<S: Read + Write>(
        scheme: &str,
        answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
        wrap: impl Fn(TcpStream) -> Option<S> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = if scheme == "https" { "localhost" } else { "127.0.0.1" };
        let url = format!("{scheme}://{host}:{}", listener.local_addr().unwrap().port());
        let log = Arc::new(Mutex::new(Vec::new()));
        let (answer, wrap, entries) = (Arc::new(answer), Arc::new(wrap), Arc::clone(&log));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, wrap, entries) =
                    (Arc::clone(&answer), Arc::clone(&wrap), Arc::clone(&entries));
                thread::spawn(move || {
                    let Some(mut stream) = wrap(stream) else { return };
                    serve(&mut stream, &*answer, &entries);
                });
            }
        });
        Self { url, log }
    }

    pub fn exchanges(&self) -> Vec<Exchange> {
        self.log.lock().unwrap().clone()
    }

    /// The exchanges of one method whose target holds a text.
    pub fn asked(&self, method: &str, part: &str) -> Vec<Exchange> {
        let fits = |exchange: &Exchange| {
            exchange.request.method == method && exchange.request.target.contains(part)
        };
        self.exchanges().into_iter().filter(fits).collect()
    }
}

fn serve<S: Read + Write>(stream: &mut S, answer: &Answer, log: &Mutex<Vec<Exchange>>) {
    let Some(request) = read_request(stream) else { return };
    let reply = answer(&request);
    thread::sleep(reply.delay);
    let body = if request.method == "HEAD" {
        &[][..]
    } else {
        &reply.body[..reply.cut.unwrap_or(reply.body.len())]
    };
    let (status, sent) = (reply.status, body.len());
    let mut head = format!("HTTP/1.1 {status} Fake\r\nConnection: close\r\n");
    if !reply.headers.iter().any(|(name, _)| name == "Content-Length") {
        write!(head, "Content-Length: {}\r\n", reply.body.len()).unwrap();
    }
    for (name, value) in &reply.headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    log.lock().unwrap().push(Exchange { request, status, sent });
    // A client that goes away in the middle is part of several tests.
    let _ = stream.write_all(format!("{head}\r\n").as_bytes()).and_then(|()| {
        for piece in body.chunks(reply.piece) {
            stream.write_all(piece)?;
            stream.flush()?;
            thread::sleep(reply.pace);
        }
        stream.flush()
    });
}

fn read_request(stream: &mut impl Read) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let (method, rest) = first.split_once(' ')?;
    let target = rest.split(' ').next()?.to_owned();
    let mut headers = Vec::new();
    for line in lines {
        let line = line.ok()?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Some(Request { method: method.to_owned(), target, headers })
}

/// A file of the fake repository.
#[derive(Clone)]
pub struct Held {
    pub path: &'static str,
    pub content: Vec<u8>,
    /// Kept outside git, under its sha256.
    pub large: bool,
}

/// The fake repository `lab/model`; `main` and `v1` mean [`COMMIT`].
#[derive(Clone)]
pub struct Repository {
    pub files: Vec<Held>,
    /// The other host that keeps the large files; none keeps them on the hub itself.
    pub storage: Option<String>,
}

impl Repository {
    /// `model.safetensors` (large, 300,007 bytes), `config.yaml` and `README.md`.
    pub fn usual() -> Self {
        let small =
            |path, text: &str| Held { path, content: text.as_bytes().to_vec(), large: false };
        let files = vec![
            small("README.md", "# A model\n"),
            small("config.yaml", "DIM: 8\n"),
            Held { path: "model.safetensors", content: weights(), large: true },
        ];
        Self { files, storage: None }
    }

    pub fn answer(&self, request: &Request) -> Reply {
        let target = request.target.as_str();
        if let Some(revision) = target.strip_prefix("/api/models/lab/model/revision/") {
            return match revision {
                "main" | "v1" | COMMIT => self.listing(),
                _ => refused(404, "RevisionNotFound"),
            };
        }
        let Some(rest) = target.strip_prefix("/lab/model/resolve/") else {
            return refused(401, "RepoNotFound");
        };
        let (revision, path) = rest.split_once('/').unwrap();
        if !matches!(revision, "main" | "v1" | COMMIT) {
            return refused(404, "RevisionNotFound");
        }
        match self.files.iter().find(|file| file.path == path) {
            None => refused(404, "EntryNotFound").with("X-Repo-Commit", COMMIT),
            Some(file) if file.large => self.large(file, request),
            Some(file) => ranged(&file.content, request)
                .with("ETag", format!("\"{}\"", git_sha1(&file.content)))
                .with("X-Repo-Commit", COMMIT),
        }
    }

    fn listing(&self) -> Reply {
        let siblings: Vec<_> =
            self.files.iter().map(|file| serde_json::json!({ "rfilename": file.path })).collect();
        let info = serde_json::json!({ "id": "lab/model", "sha": COMMIT, "siblings": siblings });
        Reply { body: info.to_string().into_bytes(), ..Reply::new(200) }
            .with("Content-Type", "application/json")
    }

    fn large(&self, file: &Held, request: &Request) -> Reply {
        let sum = sha256(&file.content);
        let reply = match &self.storage {
            Some(url) => Reply::new(302)
                .with("Location", format!("{url}/lfs/{sum}?Signature=secret-signature")),
            None => ranged(&file.content, request),
        };
        reply
            .with("X-Repo-Commit", COMMIT)
            .with("X-Linked-ETag", format!("\"{sum}\""))
            .with("X-Linked-Size", file.content.len())
    }
}

/// The content of `model.safetensors`: procedural bytes without a period.
pub fn weights() -> Vec<u8> {
    (0..300_007_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 21) as u8).collect()
}

/// The content, or the part of it that `Range: bytes=START-` asks for.
pub fn ranged(content: &[u8], request: &Request) -> Reply {
    let asked = request
        .header("range")
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    match asked {
        None => Reply { body: content.to_vec(), ..Reply::new(200) },
        Some(start) if start >= content.len() => Reply::new(416),
        Some(start) => {
            let range = format!("bytes {start}-{}/{}", content.len() - 1, content.len());
            Reply { body: content[start..].to_vec(), ..Reply::new(206) }
                .with("Content-Range", range)
        }
    }
}

pub fn refused(status: u16, code: &str) -> Reply {
    Reply::new(status).with("X-Error-Code", code)
}

pub fn sha256(content: &[u8]) -> String {
    hex(&Sha256::digest(content))
}

pub fn git_sha1(content: &[u8]) -> String {
    let mut blob = format!("blob {}\0", content.len()).into_bytes();
    blob.extend_from_slice(content);
    hex(&Sha1::digest(&blob))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
