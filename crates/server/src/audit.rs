//! The audit log: who asked what, when, and how it ended, as one JSON object a line. No picture, phrase, mask or key.
//!
//! A line is on the disk (appended, then synchronised) shortly after its reply. While lines cannot be written, nothing
//! is answered but health checks: what is done here is either on record or not done.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use thiserror::Error;

use crate::AppState;
use crate::app::is_public;
use crate::errors::ApiError;

/// How long a writer that failed waits before it tries again.
const PATIENCE: Duration = Duration::from_secs(1);

/// An audit log that cannot be kept.
#[derive(Debug, Error)]
#[error("cannot write the audit log {}: {cause}", path.display())]
pub struct AuditError {
    path: PathBuf,
    cause: io::Error,
}

/// An audit log; clones write to the same file.
#[derive(Debug, Clone)]
pub struct AuditLog {
    sender: Sender<Message>,
    failing: Arc<AtomicBool>,
}

#[derive(Debug)]
enum Message {
    Line(String),
    /// Answered when everything before it is on the disk, or has failed to get there.
    Flush(Sender<()>),
}

/// One line.
#[derive(Debug, Serialize)]
pub(crate) struct Entry<'a> {
    pub(crate) time: String,
    pub(crate) id: &'a str,
    /// As [`identify`](crate::auth::identify) names callers.
    pub(crate) who: &'a str,
    pub(crate) peer: Option<String>,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) status: u16,
    pub(crate) code: Option<&'static str>,
    pub(crate) endpoint: &'a str,
    pub(crate) deployment: &'a str,
    pub(crate) rows: usize,
    pub(crate) prompts: usize,
}

impl AuditLog {
    /// Appends to a file, which is made where it is not there, for its owner alone to read.
    ///
    /// The file may be renamed while the server runs, as log rotation does: the next line begins a new one.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, AuditError> {
        let path = path.into();
        let file = open(&path).map_err(|cause| AuditError { path: path.clone(), cause })?;
        let (sender, receiver) = channel();
        let failing = Arc::new(AtomicBool::new(false));
        let writer =
            Writer { path, file: Some(file), waiting: Vec::new(), failing: failing.clone() };
        std::thread::spawn(move || writer.run(&receiver));
        Ok(Self { sender, failing })
    }

    pub(crate) fn write(&self, entry: &Entry<'_>) {
        let Ok(mut line) = serde_json::to_string(entry) else { return };
        line.push('\n');
        let _ = self.sender.send(Message::Line(line));
    }

    /// Waits until what was written is on the disk, or has failed to get there.
    pub(crate) fn flush(&self) {
        let (done, wait) = channel();
        if self.sender.send(Message::Flush(done)).is_ok() {
            let _ = wait.recv();
        }
    }

    fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }
}

struct Writer {
    path: PathBuf,
    file: Option<File>,
    /// What is not on the disk yet.
    waiting: Vec<u8>,
    failing: Arc<AtomicBool>,
}

impl Writer {
    fn run(mut self, receiver: &Receiver<Message>) {
        loop {
            let message = match self.waiting.is_empty() {
                true => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
                false => receiver.recv_timeout(PATIENCE),
            };
            let mut flushed = Vec::new();
            match message {
                Err(RecvTimeoutError::Disconnected) => return self.write(),
                Err(RecvTimeoutError::Timeout) => {}
                // What has come meanwhile shares one synchronisation.
                Ok(message) => {
                    for message in std::iter::once(message).chain(receiver.try_iter()) {
                        match message {
                            Message::Line(line) => self.waiting.extend_from_slice(line.as_bytes()),
                            Message::Flush(done) => flushed.push(done),
                        }
                    }
                }
            }
            self.write();
            for done in flushed {
                let _ = done.send(());
            }
        }
    }

    fn write(&mut self) {
        let outcome = self.append();
        let failing = outcome.is_err();
        if self.failing.swap(failing, Ordering::Relaxed) != failing {
            match outcome {
                Err(error) => {
                    tracing::error!(%error, "the audit log cannot be written; requests are refused until it can");
                }
                Ok(()) => tracing::info!("the audit log is written again"),
            }
        }
    }

    fn append(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let mut file = match self.file.take().filter(|file| is_at(file, &self.path)) {
            Some(file) => file,
            None => open(&self.path)?,
        };
        let whole = file.metadata()?.len();
        if let Err(error) = file.write_all(&self.waiting) {
            // Half a line must not stand before the next try.
            let _ = file.set_len(whole);
            return Err(error);
        }
        file.sync_data()?;
        self.waiting.clear();
        self.file = Some(file);
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Whether the path still names this file.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let place = |found: io::Result<std::fs::Metadata>| found.ok().map(|it| (it.dev(), it.ino()));
    let open = place(file.metadata());
    open.is_some() && open == place(path.metadata())
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

/// Refuses requests while they could not be put on record.
pub(crate) async fn guard(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let failing = state.config().audit.as_ref().is_some_and(AuditLog::is_failing);
    if failing && !is_public(request.uri().path()) {
        let sentence = "the audit log cannot be written; the server's log says why";
        return ApiError::NotReady(sentence.to_owned()).into_response();
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str) -> Entry<'_> {
        Entry {
            time: "2026-11-24T08:00:00Z".to_owned(),
            id,
            who: "key:4f0c93a1be",
            peer: None,
            method: "POST",
            path: "/score",
            status: 200,
            code: None,
            endpoint: "medparse",
            deployment: "default",
            rows: 1,
            prompts: 2,
        }
    }

    #[test]
    fn lines_are_appended_and_a_renamed_file_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("audit.jsonl"), folder.path().join("audit.1"));
        for id in ["a", "b"] {
            let log = AuditLog::open(&path).unwrap();
            log.write(&entry(id));
            log.flush();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
        let log = AuditLog::open(&path).unwrap();
        std::fs::rename(&path, &old).unwrap();
        log.write(&entry("c"));
        log.flush();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(r#""id":"c","who":"key:4f0c93a1be""#) && text.lines().count() == 1);
        assert_eq!(std::fs::read_to_string(&old).unwrap().lines().count(), 2);
    }

    #[cfg(unix)]
    #[test]
    fn what_could_not_be_written_is_kept_until_it_can() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/audit.jsonl");
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        let log = AuditLog::open(&path).unwrap();
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
        log.write(&entry("a"));
        log.flush();
        assert!(log.is_failing());
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        log.write(&entry("b"));
        log.flush();
        assert!(!log.is_failing());
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
    }
}
