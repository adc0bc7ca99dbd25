//! The server as a process: SIGTERM loses no accepted request, and after `kill -9` it is ready again by itself.
#![cfg(unix)]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{WORKSPACE, picture, score_body};
use medparse_server::Store;
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(30);

struct Process {
    child: Child,
    address: String,
    /// Kept open: what the server prints must have somewhere to go.
    _output: BufReader<ChildStdout>,
}

/// Starts the example server, which cargo builds beside the tests.
fn start(state: &Path, arguments: &[&str]) -> Process {
    let mut program = std::env::current_exe().unwrap();
    program.pop();
    program.pop();
    program.push("examples/stub");
    let mut child = Command::new(&program)
        .args(["--open", "--state", state.to_str().unwrap()])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    let address = line.trim().trim_start_matches("http://localhost").to_owned();
    Process { child, address: format!("127.0.0.1{address}"), _output: output }
}

impl Process {
    fn signal(&self, signal: &str) {
        let status =
            Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }
}

/// One exchange over a new connection: `None` when no connection was made.
fn exchange(address: &str, method: &str, path: &str, body: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut reply = String::new();
    let exchanged =
        stream.write_all(head.as_bytes()).and_then(|()| stream.read_to_string(&mut reply));
    Some(if exchanged.is_err() { "lost".to_owned() } else { reply })
}

fn wait_ready(address: &str) {
    let started = Instant::now();
    while !exchange(address, "GET", "/ready", "")
        .is_some_and(|reply| reply.starts_with("HTTP/1.1 200"))
    {
        assert!(started.elapsed() < PATIENCE, "never ready");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_stop_under_load_loses_no_accepted_request() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = start(folder.path(), &["--delay-ms", "5", "--waiting", "64"]);
    wait_ready(&server.address);
    let (_, png) = picture(64, 64, 1);
    let body = score_body(&[(&png, "a & b")]).to_string();
    let refused = AtomicBool::new(false);
    let (address, body, refused) = (&server.address, &body, &refused);
    let replies: Vec<String> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(move || {
                    let mut replies = Vec::new();
                    // A client asks until it finds the door closed.
                    while let Some(reply) = exchange(address, "POST", "/score", body) {
                        replies.push(reply);
                    }
                    refused.store(true, Ordering::SeqCst);
                    replies
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(500));
        server.signal("-TERM");
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    assert!(server.child.wait().unwrap().success());
    assert!(replies.len() > 100, "{}", replies.len());
    let bad: Vec<_> = replies
        .iter()
        .filter(|reply| !reply.starts_with("HTTP/1.1 200") || !reply.ends_with("]\r\n0\r\n\r\n"))
        .collect();
    assert!(
        bad.is_empty(),
        "{} of {} lost, such as {:?}",
        bad.len(),
        replies.len(),
        bad[0].get(..200)
    );
}

#[test]
fn after_a_kill_the_state_is_whole_and_the_server_ready() {
    let folder = tempfile::tempdir().unwrap();
    let (_, png) = picture(8, 8, 1);
    let body = score_body(&[(&png, "a")]).to_string();
    let mut confirmed = 0u64;
    for round in 0..5 {
        let mut server = start(folder.path(), &[]);
        wait_ready(&server.address);
        let reply = exchange(&server.address, "POST", "/score", &body).unwrap();
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
        let address = server.address.clone();
        // Changes are made as fast as they are confirmed, and the server is killed in the middle of one.
        let writer = std::thread::spawn(move || {
            let mut last = 0;
            for change in round * 1000 + 1.. {
                let put = json!({"tags": {"change": change}, "properties": {"traffic": {"default": 100}}}).to_string();
                let reply = exchange(
                    &address,
                    "PUT",
                    &format!("{WORKSPACE}/onlineEndpoints/medparse"),
                    &put,
                );
                if !reply.is_some_and(|reply| reply.starts_with("HTTP/1.1 200")) {
                    break;
                }
                last = change;
            }
            last
        });
        std::thread::sleep(Duration::from_millis(150 + round * 37));
        server.signal("-KILL");
        server.child.wait().unwrap();
        confirmed = confirmed.max(writer.join().unwrap());
        let document = Store::open(folder.path()).unwrap().read().unwrap();
        let kept = document.endpoints["medparse"].extra.tags["change"].as_u64().unwrap();
        assert!(kept == confirmed || kept == confirmed + 1, "confirmed {confirmed}, kept {kept}");
    }
    assert!(confirmed > 4000);
}
