//! What can go wrong between the hub and the disk, each sentence saying what to do next where it can.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::files::ChoiceError;
use super::reference::ReferenceError;

/// Whether a request carried a token, as advice for the one who was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenUse {
    /// No token was known.
    NotSent,
    /// A token was sent.
    Sent,
}

impl fmt::Display for TokenUse {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::NotSent => "no token was sent: make one with read access under Settings, Access Tokens and set HF_TOKEN",
            Self::Sent => "a token was sent, and its account or its rights do not suffice",
        })
    }
}

/// Why a model could not be fetched from the hub or found in its cache.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// The text names no model on the hub.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// No model file could be chosen.
    #[error(transparent)]
    Choice(#[from] ChoiceError),
    /// A setting has a value that cannot be used.
    #[error("{setting} {problem}")]
    Setting {
        /// The variable or what it means.
        setting: String,
        /// What is wrong, as in "SETTING …".
        problem: String,
    },
    /// The repository's owner lets only people in who accepted its terms (status 401 or 403).
    #[error("{repository} is gated: accept its terms at {page} with your account; {token}")]
    Gated {
        /// `owner/name`.
        repository: String,
        /// Where the terms are.
        page: String,
        /// Whether a token was sent.
        token: TokenUse,
    },
    /// The hub refused the token or the right to read (status 401 or 403).
    #[error("the hub refused access to {repository} (status {status}{}): {token}", quoted(message))]
    Refused {
        /// `owner/name`.
        repository: String,
        /// The HTTP status.
        status: u16,
        /// The hub's own words, perhaps empty.
        message: String,
        /// Whether a token was sent.
        token: TokenUse,
    },
    /// The repository does not exist, or not for this account.
    #[error("there is no repository {repository} at {endpoint}, or it is private; {token}")]
    NoRepository {
        /// `owner/name`.
        repository: String,
        /// The hub's address.
        endpoint: String,
        /// Whether a token was sent.
        token: TokenUse,
    },
    /// The repository has no such branch, tag or commit.
    #[error("{repository} has no revision {revision}: expected a branch, a tag or a full commit")]
    NoRevision {
        /// `owner/name`.
        repository: String,
        /// The revision asked for.
        revision: String,
    },
    /// The file was listed, yet the hub does not have it.
    #[error("{repository} has no file {file} at commit {commit}")]
    NoFile {
        /// `owner/name`.
        repository: String,
        /// The file's path.
        file: String,
        /// The commit asked for.
        commit: String,
    },
    /// The hub asked to come back later (status 429).
    #[error(
        "{peer} has had too many requests from this address (status 429): wait a few minutes, or set HF_TOKEN"
    )]
    TooManyRequests {
        /// Host and port.
        peer: String,
    },
    /// Any other status that is no success.
    #[error("{peer} answered with status {status}{} for {what}", quoted(message))]
    Status {
        /// Host and port.
        peer: String,
        /// The HTTP status.
        status: u16,
        /// What was asked for.
        what: String,
        /// The hub's own words, perhaps empty.
        message: String,
    },
    /// The answer breaks the hub's protocol.
    #[error("{peer} does not answer as a hub: {problem}")]
    Protocol {
        /// Host and port.
        peer: String,
        /// What was expected and found.
        problem: String,
    },
    /// Nothing listens at the address.
    #[error(
        "{peer} refused the connection: is the address right, and does a firewall or proxy stand between?"
    )]
    ConnectionRefused {
        /// Host and port, of the proxy where one is used.
        peer: String,
    },
    /// No way leads to the host, or its name is unknown.
    #[error(
        "{peer} cannot be reached ({reason}): is this machine online? Behind a proxy set HTTPS_PROXY, without a network HF_HUB_OFFLINE=1"
    )]
    Unreachable {
        /// Host and port, of the proxy where one is used.
        peer: String,
        /// The system's own words.
        reason: String,
    },
    /// Nothing arrived for too long.
    #[error(
        "{peer} did not answer in time ({phase}): the network is slow or a firewall swallows the connection"
    )]
    TimedOut {
        /// Host and port.
        peer: String,
        /// What was waited for.
        phase: String,
    },
    /// The TLS handshake failed.
    #[error(
        "no trusted connection to {peer}: {reason}; where the network inspects TLS set SSL_CERT_FILE to its certificates"
    )]
    Untrusted {
        /// Host and port.
        peer: String,
        /// The library's own words.
        reason: String,
    },
    /// The proxy would not connect.
    #[error("the proxy {proxy} would not connect to {peer}: {reason}")]
    Proxy {
        /// The proxy's host and port.
        proxy: String,
        /// Host and port behind it.
        peer: String,
        /// The proxy's own words.
        reason: String,
    },
    /// The connection broke for another reason.
    #[error("the connection to {peer} broke: {reason}")]
    Broken {
        /// Host and port.
        peer: String,
        /// What broke.
        reason: String,
    },
    /// The download stopped in the middle, and trying again did not help.
    #[error(
        "{file} stopped after {received} of {size} bytes ({reason}); pull again and it goes on from there"
    )]
    Interrupted {
        /// The file's path in the repository.
        file: String,
        /// Bytes on the disk.
        received: u64,
        /// Bytes of the whole.
        size: u64,
        /// What broke.
        reason: String,
    },
    /// The bytes are not those that the hub names; the download was deleted.
    #[error(
        "{file} arrived damaged: expected {kind} {expected}, found {found}; the download was deleted, pull again"
    )]
    WrongChecksum {
        /// The file's path in the repository.
        file: String,
        /// The sum's name.
        kind: &'static str,
        /// The hub's sum.
        expected: String,
        /// The sum of what arrived.
        found: String,
    },
    /// More or fewer bytes came than the hub announced; the download was deleted.
    #[error(
        "{file} has the wrong size: expected {expected} bytes, the server sends {found}; the download was deleted"
    )]
    WrongSize {
        /// The file's path in the repository.
        file: String,
        /// Bytes announced.
        expected: u64,
        /// Bytes sent, at least.
        found: u64,
    },
    /// The cache lacks the model and no connection may be opened.
    #[error(
        "{reference} is not in the cache {} and the hub was not asked; pull it once with a network, without HF_HUB_OFFLINE",
        cache.display()
    )]
    NotCached {
        /// The reference.
        reference: String,
        /// The cache folder.
        cache: PathBuf,
    },
    /// The disk is full; what arrived is kept.
    #[error("no space left on the disk of {}: {received} of {size} bytes are kept, make room and pull again", path.display())]
    DiskFull {
        /// The unfinished file.
        path: PathBuf,
        /// Bytes on the disk.
        received: u64,
        /// Bytes of the whole.
        size: u64,
    },
    /// The operating system refused something in the cache folder.
    #[error("cannot {action} {}: {source}{}", path.display(), advice(source))]
    Cache {
        /// What was being done, as in "cannot … PATH".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's own error.
        source: io::Error,
    },
}

impl HubError {
    /// For `map_err` after an operation on the cache.
    pub(super) fn cache(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Cache { action, path: path.to_owned(), source }
    }
}

fn quoted(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(", {message:?}") }
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::NotADirectory => "; set HF_HUB_CACHE to a folder that can be written",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; make room or set HF_HUB_CACHE to another disk"
        }
        _ => "",
    }
}
