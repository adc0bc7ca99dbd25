//! The real program as a server, and a client that needs nothing but a socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take; generous, because test machines are small and busy.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// A folder with a state, on which servers and commands work.
pub struct Place {
    folder: TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program with a clean environment, on this place's state.
    pub fn program(&self, verb: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_medparse"));
        command.args(verb).current_dir(self.folder.path());
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("MEDPARSE_")) {
                command.env_remove(name);
            }
        }
        command
            .env("MEDPARSE_STATE", self.path("state"))
            .env("MEDPARSE_CACHE", self.path("cache"))
            .env("HF_HOME", self.path("hub"));
        command
    }

    /// What a command prints on standard output; it must succeed.
    pub fn run(&self, arguments: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.program(arguments).output().unwrap();
        assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap().trim().to_owned()
    }

    /// What a command that must fail says.
    pub fn refusal(&self, arguments: &[&str]) -> String {
        let output = self.program(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    pub fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.run(arguments)).unwrap()
    }

    /// Starts a server with a small network on a free port.
    pub fn serve(&self, arguments: &[&str]) -> Server {
        self.serve_with(arguments, &[])
    }

    /// As [`Place::serve`], with more in the environment.
    pub fn serve_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Server {
        let log = self.path("log");
        let file = std::fs::File::options().create(true).append(true).open(&log).unwrap();
        let mut child = self
            .program(&["serve", "--port", "0", "--image-size", "128"])
            .args(arguments)
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut announcement = String::new();
        // The line to paste comes last, and so does this variable in the environment for Azure.
        while !announcement.contains("\ncurl ") && !announcement.contains("export SSL_CERT_FILE") {
            let read = output.read_line(&mut announcement).unwrap();
            assert!(read > 0, "{announcement}{}", std::fs::read_to_string(&log).unwrap());
        }
        let rest = announcement.split_once("://").unwrap().1;
        let address = rest.split(['/', '\n']).next().unwrap().to_owned();
        Server { child, address, announcement, log, _output: output }
    }
}

/// A running server; killed when dropped.
pub struct Server {
    pub child: Child,
    pub address: String,
    pub announcement: String,
    log: PathBuf,
    /// Kept open: what the server prints must have somewhere to go.
    _output: BufReader<ChildStdout>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    pub fn wait_ready(&self) {
        self.wait_for("readiness", || self.get("/ready", None).status == 200);
    }

    /// Asks again and again until it is so.
    pub fn wait_for(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let started = Instant::now();
        while !is_so() {
            assert!(started.elapsed() < PATIENCE, "{what} never came: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// The line that the announcement says works as pasted.
    pub fn curl_line(&self) -> &str {
        self.announcement.lines().find(|line| line.starts_with("curl ")).unwrap()
    }

    pub fn get(&self, path: &str, key: Option<&str>) -> Reply {
        exchange(&self.address, "GET", path, key, "").expect("the server accepts connections")
    }

    pub fn post(&self, path: &str, key: Option<&str>, body: &str) -> Reply {
        exchange(&self.address, "POST", path, key, body).expect("the server accepts connections")
    }

    pub fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// Ends the server with a signal and waits for it; true when it ended well.
    pub fn end(&mut self, signal: &str) -> bool {
        self.signal(signal);
        self.child.wait().unwrap().success()
    }
}

/// A reply; status 0 where the connection broke.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|pair| pair.1)
    }
}

/// One exchange over a new connection: `None` where no connection was made.
pub fn exchange(
    address: &str,
    method: &str,
    path: &str,
    key: Option<&str>,
    body: &str,
) -> Option<Reply> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let key = key.map(|key| format!("Authorization: Bearer {key}\r\n")).unwrap_or_default();
    // HTTP/1.0 keeps replies in one piece.
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: localhost\r\n{key}Content-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    let mut reply = Vec::new();
    let exchanged = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(body.as_bytes()))
        .and_then(|()| stream.read_to_end(&mut reply).map(|_| ()));
    let reply = String::from_utf8_lossy(&reply).into_owned();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap_or((&reply, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let status = if exchanged.is_err() { 0 } else { status };
    Some(Reply { status, head: head.to_owned(), body: body.to_owned() })
}

/// A scoring request for a picture file.
pub fn request(picture: &Path, text: &str) -> String {
    let image = base64_simd::STANDARD.encode_to_string(std::fs::read(picture).unwrap());
    serde_json::json!({
        "input_data": {"columns": ["image", "text"], "index": [0], "data": [[image, text]]}
    })
    .to_string()
}
