//! One file from the hub into the cache: resumed, checked, put in place in one step.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::thread;

use super::Progress;
use super::cache::{Store, make_parent, size_of};
use super::checksum::Hasher;
use super::client::{Answer, Client, RemoteFile};
use super::endpoint::peer;
use super::error::HubError;

/// Bytes read at once.
const CHUNK: usize = 256 << 10;

/// Brings a file into the cache and answers where it lies.
pub(super) fn fetch(
    client: &Client<'_>,
    store: &Store,
    file: &RemoteFile,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<PathBuf, HubError> {
    let (name, size) = (file.path.as_str(), file.size);
    // Where links are impossible, Python keeps the bytes in the snapshot itself.
    let pointer = store.snapshot(&file.commit, name);
    if size_of(&pointer) == Some(size) {
        progress(Progress::Cached { file: name, size });
        return Ok(pointer);
    }
    let blob = store.blob(&file.checksum);
    let is_here = || size_of(&blob) == Some(size);
    if is_here() {
        progress(Progress::Cached { file: name, size });
        return store.link(&file.commit, name, &file.checksum);
    }
    let _lock = store.lock(&file.checksum, || progress(Progress::Waiting { file: name }))?;
    if is_here() {
        progress(Progress::Cached { file: name, size });
        return store.link(&file.commit, name, &file.checksum);
    }
    let mut partial = Partial::open(store.incomplete(&file.checksum), file)?;
    progress(Progress::Started { file: name, size, resumed: partial.received });
    partial.fill(client, progress)?;
    partial.keep_as(blob)?;
    let pointer = store.link(&file.commit, name, &file.checksum)?;
    progress(Progress::Finished { file: name, size });
    Ok(pointer)
}

/// A download under way: the bytes on the disk and their sum so far.
struct Partial<'a> {
    remote: &'a RemoteFile,
    path: PathBuf,
    file: File,
    sum: Hasher,
    /// Bytes on the disk.
    received: u64,
}

impl<'a> Partial<'a> {
    /// Takes up what an earlier download left, summing it again, or begins an empty file.
    fn open(path: PathBuf, remote: &'a RemoteFile) -> Result<Self, HubError> {
        make_parent(&path)?;
        let open = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let file = open.map_err(HubError::cache("write", &path))?;
        let sum = remote.checksum.hasher(remote.size);
        let mut partial = Self { remote, path, file, sum, received: 0 };
        let mut buffer = vec![0; CHUNK];
        while partial.received <= remote.size {
            let count =
                partial.file.read(&mut buffer).map_err(HubError::cache("read", &partial.path))?;
            let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
            partial.sum.update(bytes);
            partial.received += bytes.len() as u64;
        }
        if partial.received > remote.size {
            partial.restart()?;
        }
        Ok(partial)
    }

    /// Downloads what is missing, going on after a broken connection as often as the options allow.
    fn fill(
        &mut self,
        client: &Client<'_>,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), HubError> {
        let retry = client.options.retry;
        let (mut failures, mut pause) = (0, retry.pause);
        while self.received < self.remote.size {
            let before = self.received;
            let Err(error) = self.receive(client, progress) else { continue };
            if self.received > before {
                (failures, pause) = (0, retry.pause);
            }
            if !(error.may_pass() || self.received > 0 && error.is_unreachable()) {
                return Err(error);
            }
            if failures == retry.times {
                return Err(if self.received > 0 { self.interrupted(&error) } else { error });
            }
            let reason = &error.to_string();
            progress(Progress::Retrying {
                file: &self.remote.path,
                received: self.received,
                reason,
            });
            thread::sleep(pause);
            failures += 1;
            pause *= 2;
        }
        Ok(())
    }

    /// One request and its bytes up to its end or break.
    fn receive(
        &mut self,
        client: &Client<'_>,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), HubError> {
        let (name, size) = (self.remote.path.as_str(), self.remote.size);
        let answer = client.open(self.remote, self.received)?;
        match answer.response.status().as_u16() {
            206 => self.check_range(&answer)?,
            416 if self.received > 0 => return self.restart(),
            416 => {
                return Err(protocol(
                    &answer,
                    format!("no bytes of {name} to give, expected {size}"),
                ));
            }
            _ if self.received > 0 => self.restart()?,
            _ => {}
        }
        let mut body = answer.response.into_body().into_reader();
        let mut buffer = vec![0; CHUNK];
        loop {
            let count = body
                .read(&mut buffer)
                .map_err(|error| client.failure(&answer.uri, error.into()))?;
            let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
            let found = self.received + bytes.len() as u64;
            if found > size {
                self.discard()?;
                return Err(HubError::WrongSize { file: name.to_owned(), expected: size, found });
            }
            self.write(bytes)?;
            progress(Progress::Received { file: name, received: self.received, size });
        }
        if self.received < size {
            let reason = format!("it ended {name} after {} of {size} bytes", self.received);
            return Err(HubError::Broken { peer: peer(&answer.uri), reason });
        }
        Ok(())
    }

    /// Whether a partial answer begins where it was asked to (RFC 9110 section 14.4).
    fn check_range(&self, answer: &Answer) -> Result<(), HubError> {
        let header = answer.response.headers().get("content-range");
        let found = header.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let start = found
            .strip_prefix("bytes ")
            .and_then(|range| range.split_once('-'))
            .map(|(start, _)| start);
        if start.and_then(|start| start.trim().parse().ok()) == Some(self.received) {
            return Ok(());
        }
        let expected = format!("bytes {}-", self.received);
        Err(protocol(
            answer,
            format!("expected a Content-Range that begins with {expected:?}, found {found:?}"),
        ))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), HubError> {
        self.file.write_all(bytes).map_err(|source| self.unwritten(source))?;
        self.sum.update(bytes);
        self.received += bytes.len() as u64;
        Ok(())
    }

    /// Begins again from the first byte.
    fn restart(&mut self) -> Result<(), HubError> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        emptied.map_err(HubError::cache("empty", &self.path))?;
        self.sum = self.remote.checksum.hasher(self.remote.size);
        self.received = 0;
        Ok(())
    }

    /// Compares the checksum and gives the file its final name; a damaged file is deleted.
    fn keep_as(mut self, blob: PathBuf) -> Result<(), HubError> {
        let checksum = &self.remote.checksum;
        let sum = std::mem::replace(&mut self.sum, checksum.hasher(0));
        let found = sum.finish();
        if found != checksum.digits() {
            self.discard()?;
            return Err(HubError::WrongChecksum {
                file: self.remote.path.clone(),
                kind: checksum.kind(),
                expected: checksum.digits().to_owned(),
                found,
            });
        }
        self.file.sync_all().map_err(|source| self.unwritten(source))?;
        fs::rename(&self.path, &blob).map_err(HubError::cache("write", &blob))
    }

    fn discard(&self) -> Result<(), HubError> {
        fs::remove_file(&self.path)
            .map_err(HubError::cache("delete the damaged download", &self.path))
    }

    fn unwritten(&self, source: io::Error) -> HubError {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => HubError::DiskFull {
                path: self.path.clone(),
                // The last write may have stored a part of its bytes before it failed.
                received: size_of(&self.path).unwrap_or(self.received),
                size: self.remote.size,
            },
            _ => HubError::cache("write", &self.path)(source),
        }
    }

    fn interrupted(&self, error: &HubError) -> HubError {
        HubError::Interrupted {
            file: self.remote.path.clone(),
            received: self.received,
            size: self.remote.size,
            reason: error.to_string(),
        }
    }
}

impl HubError {
    /// Whether the network is gone for now: worth waiting for in the middle of a download.
    fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::ConnectionRefused { .. } | Self::Unreachable { .. } | Self::TimedOut { .. }
        )
    }
}

fn protocol(answer: &Answer, problem: String) -> HubError {
    HubError::Protocol { peer: peer(&answer.uri), problem }
}
