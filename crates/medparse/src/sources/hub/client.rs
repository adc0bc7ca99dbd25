//! Requests to the hub: redirects, the token, proxies, and every refusal in words.

use std::fs;
use std::io::ErrorKind;
use std::sync::Arc;
use std::thread;

use serde::Deserialize;
use ureq::http::{HeaderMap, Response, Uri};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, Timeout};

use super::cache::is_commit;
use super::checksum::Checksum;
use super::endpoint::{Endpoint, peer, redirected};
use super::error::{HubError, TokenUse};
use super::options::HubOptions;
use super::proxy;
use super::reference::{HubReference, check_path};

/// The hub answers with one redirect to its storage; a renamed repository adds one.
const MOST_REDIRECTS: usize = 8;

/// The longest file list that is read, in bytes.
const LONGEST_LISTING: u64 = 32 << 20;

/// A repository at one commit.
pub(super) struct Listing {
    pub(super) commit: String,
    pub(super) files: Vec<String>,
}

/// One file at one commit, as the hub announces it.
pub(super) struct RemoteFile {
    pub(super) repository: String,
    pub(super) commit: String,
    pub(super) path: String,
    pub(super) checksum: Checksum,
    /// Bytes.
    pub(super) size: u64,
    uri: Uri,
}

/// What a request is for, to put a refusal into words.
enum Wanted<'a> {
    Listing { revision: &'a str },
    File { path: &'a str, commit: &'a str },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Get,
    Head,
}

/// The last answer of a chain of redirects, and who gave it.
pub(super) struct Answer {
    pub(super) response: Response<Body>,
    pub(super) uri: Uri,
}

pub(super) struct Client<'a> {
    pub(super) options: &'a HubOptions,
    agent: Agent,
    endpoint: Endpoint,
}

impl<'a> Client<'a> {
    pub(super) fn new(options: &'a HubOptions) -> Result<Self, HubError> {
        let endpoint = Endpoint::parse(&options.endpoint)?;
        let timeouts = options.timeouts;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // Redirects are followed here, where the token can be withheld and the hub's own headers be read.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("medparse/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(timeouts.connect))
            .timeout_connect(Some(timeouts.connect))
            .timeout_recv_response(Some(timeouts.response))
            .timeout_per_read(Some(timeouts.read))
            .tls_config(TlsConfig::builder().root_certs(authorities(options)?).build())
            .proxy(None)
            .build();
        Ok(Self { options, agent: config.into(), endpoint })
    }

    /// Lists the repository's files at the commit that the revision means now.
    pub(super) fn listing(&self, reference: &HubReference) -> Result<Listing, HubError> {
        #[derive(Deserialize)]
        struct Info {
            sha: String,
            siblings: Vec<Sibling>,
        }
        #[derive(Deserialize)]
        struct Sibling {
            rfilename: String,
        }
        let uri = self.endpoint.listing(reference)?;
        let protocol = |problem: String| HubError::Protocol { peer: peer(&uri), problem };
        let wanted = Wanted::Listing { revision: &reference.revision };
        let body = self.patiently(|| {
            let mut answer = self.walk(Method::Get, uri.clone(), 0)?;
            if !answer.response.status().is_success() {
                return Err(self.refusal(&answer, &reference.repository(), &wanted));
            }
            let body =
                answer.response.body_mut().with_config().limit(LONGEST_LISTING).read_to_vec();
            body.map_err(|error| self.failure(&answer.uri, error))
        })?;
        let info: Info = serde_json::from_slice(&body).map_err(|error| {
            protocol(format!("expected a repository's file list as JSON, {error}"))
        })?;
        if !is_commit(&info.sha) {
            return Err(protocol(format!(
                "expected a commit of 40 hexadecimal digits, found {:?}",
                info.sha
            )));
        }
        let mut files: Vec<String> =
            info.siblings.into_iter().map(|sibling| sibling.rfilename).collect();
        // Names become paths in the cache: one that leads out of it is no file to offer.
        files.retain(|file| check_path(file).is_ok());
        Ok(Listing { commit: info.sha.to_ascii_lowercase(), files })
    }

    /// Asks for a file's size and checksum.
    pub(super) fn file(
        &self,
        reference: &HubReference,
        listing: &Listing,
        path: &str,
    ) -> Result<RemoteFile, HubError> {
        let commit = &listing.commit;
        let uri = self.endpoint.file(reference, commit, path)?;
        let repository = reference.repository();
        let answer = self.patiently(|| {
            let answer = self.walk(Method::Head, uri.clone(), 0)?;
            let found = answer.response.status().is_success()
                || names_linked_file(answer.response.headers());
            if found {
                Ok(answer)
            } else {
                Err(self.refusal(&answer, &repository, &Wanted::File { path, commit }))
            }
        })?;
        let headers = answer.response.headers();
        let protocol = |problem: String| HubError::Protocol { peer: peer(&answer.uri), problem };
        if let Some(other) =
            text(headers, "x-repo-commit").filter(|other| !other.eq_ignore_ascii_case(commit))
        {
            return Err(protocol(format!(
                "asked for {path} at commit {commit}, it gave {other:?}"
            )));
        }
        let etag =
            text(headers, "x-linked-etag").or_else(|| text(headers, "etag")).unwrap_or_default();
        let checksum = Checksum::from_etag(etag).ok_or_else(|| {
            protocol(format!("expected a sha256 or git sha1 as the ETag of {path}, found {etag:?}"))
        })?;
        let size = text(headers, "x-linked-size")
            .or_else(|| text(headers, "content-length"))
            .unwrap_or_default();
        let size = size
            .parse()
            .map_err(|_| protocol(format!("expected the size of {path}, found {size:?}")))?;
        Ok(RemoteFile {
            repository,
            commit: commit.clone(),
            path: path.to_owned(),
            checksum,
            size,
            uri,
        })
    }

    /// Opens a file's bytes from `offset` on; the status is 200, 206 or 416.
    pub(super) fn open(&self, file: &RemoteFile, offset: u64) -> Result<Answer, HubError> {
        let answer = self.walk(Method::Get, file.uri.clone(), offset)?;
        match answer.response.status().as_u16() {
            200 | 206 | 416 => Ok(answer),
            _ => {
                let wanted = Wanted::File { path: &file.path, commit: &file.commit };
                Err(self.refusal(&answer, &file.repository, &wanted))
            }
        }
    }

    /// A broken exchange in words.
    pub(super) fn failure(&self, uri: &Uri, error: ureq::Error) -> HubError {
        let peer = peer(uri);
        let proxy = self.options.proxies.towards(uri).map(proxy::name);
        let nearest =
            proxy.as_ref().map_or_else(|| peer.clone(), |proxy| format!("the proxy {proxy}"));
        match error {
            ureq::Error::HostNotFound => HubError::Unreachable {
                peer: nearest,
                reason: "its name cannot be looked up".into(),
            },
            ureq::Error::Timeout(phase @ (Timeout::Resolve | Timeout::Connect)) => {
                HubError::TimedOut { peer: nearest, phase: phase.to_string() }
            }
            ureq::Error::Timeout(phase) => HubError::TimedOut { peer, phase: phase.to_string() },
            ureq::Error::ConnectProxyFailed(reason) => {
                HubError::Proxy { proxy: proxy.unwrap_or_default(), peer, reason }
            }
            ureq::Error::Tls(reason) => HubError::Untrusted { peer, reason: reason.to_owned() },
            ureq::Error::Rustls(error) => HubError::Untrusted { peer, reason: error.to_string() },
            ureq::Error::Io(error) => match error.kind() {
                ErrorKind::ConnectionRefused => HubError::ConnectionRefused { peer: nearest },
                ErrorKind::TimedOut => HubError::TimedOut { peer, phase: error.to_string() },
                ErrorKind::InvalidData => HubError::Untrusted { peer, reason: error.to_string() },
                ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                | ErrorKind::UnexpectedEof => HubError::Broken { peer, reason: error.to_string() },
                // No route, or a name that the system cannot look up, for which the standard library has no kind.
                _ => HubError::Unreachable { peer: nearest, reason: error.to_string() },
            },
            other => HubError::Broken { peer, reason: other.to_string() },
        }
    }

    /// Tries again what may pass.
    fn patiently<T>(&self, mut ask: impl FnMut() -> Result<T, HubError>) -> Result<T, HubError> {
        let mut pause = self.options.retry.pause;
        for _ in 0..self.options.retry.times {
            match ask() {
                Err(error) if error.may_pass() => thread::sleep(pause),
                done => return done,
            }
            pause *= 2;
        }
        ask()
    }

    /// Follows redirects to the answer that counts: for `HEAD` the first that names the stored file.
    fn walk(&self, method: Method, mut uri: Uri, offset: u64) -> Result<Answer, HubError> {
        for _ in 0..=MOST_REDIRECTS {
            let response =
                self.send(method, &uri, offset).map_err(|error| self.failure(&uri, error))?;
            let headers = response.headers();
            let enough = method == Method::Head && names_linked_file(headers);
            if enough || !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(Answer { response, uri });
            }
            let location = text(headers, "location").unwrap_or_default();
            uri = redirected(&uri, location).map_err(|problem| HubError::Protocol {
                peer: peer(&uri),
                problem: problem.to_owned(),
            })?;
        }
        Err(HubError::Protocol {
            peer: peer(&uri),
            problem: format!("more than {MOST_REDIRECTS} redirects"),
        })
    }

    fn send(&self, method: Method, uri: &Uri, offset: u64) -> Result<Response<Body>, ureq::Error> {
        let mut request = match method {
            Method::Get => self.agent.get(uri),
            Method::Head => self.agent.head(uri),
        };
        // Sizes, ranges and checksums are those of the file itself, not of a compressed form.
        request = request.header("accept-encoding", "identity");
        if offset > 0 {
            request = request.header("range", format!("bytes={offset}-"));
        }
        if let Some(token) = self.options.token.as_ref().filter(|_| self.endpoint.same_origin(uri))
        {
            request = request.header("authorization", token.header());
        }
        request.config().proxy(self.options.proxies.towards(uri).cloned()).build().call()
    }

    /// A status that is no success in words. The hub's `X-Error-Code` says what is missing; without it (a mirror) the
    /// request does.
    fn refusal(&self, answer: &Answer, repository: &str, wanted: &Wanted<'_>) -> HubError {
        let (status, headers) = (answer.response.status().as_u16(), answer.response.headers());
        let repository = repository.to_owned();
        let endpoint = self.endpoint.as_str().to_owned();
        let token = if self.options.token.is_some() { TokenUse::Sent } else { TokenUse::NotSent };
        let message =
            text(headers, "x-error-message").unwrap_or_default().chars().take(200).collect();
        let code = text(headers, "x-error-code").unwrap_or_default();
        if status == 429 {
            return HubError::TooManyRequests { peer: peer(&answer.uri) };
        }
        if !self.endpoint.same_origin(&answer.uri) || !(400..500).contains(&status) {
            let what = match wanted {
                Wanted::Listing { .. } => format!("the file list of {repository}"),
                Wanted::File { path, .. } => (*path).to_owned(),
            };
            return HubError::Status { peer: peer(&answer.uri), status, what, message };
        }
        match (status, code, wanted) {
            (401 | 403, "GatedRepo", _) => {
                HubError::Gated { page: format!("{endpoint}/{repository}"), repository, token }
            }
            (_, "RepoNotFound", _) => HubError::NoRepository { repository, endpoint, token },
            // The hub hides private repositories from strangers behind the status of a missing token.
            (401, "", _) if token == TokenUse::NotSent => {
                HubError::NoRepository { repository, endpoint, token }
            }
            (_, "RevisionNotFound", Wanted::Listing { revision }) => {
                HubError::NoRevision { repository, revision: (*revision).to_owned() }
            }
            (404, _, Wanted::Listing { .. }) => {
                HubError::NoRepository { repository, endpoint, token }
            }
            (404, _, Wanted::File { path, commit }) => HubError::NoFile {
                repository,
                file: (*path).to_owned(),
                commit: (*commit).to_owned(),
            },
            _ => HubError::Refused { repository, status, message, token },
        }
    }
}

impl HubError {
    /// Whether the same request may succeed a little later.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Broken { .. } | Self::TooManyRequests { .. } => true,
            Self::Status { status, .. } => *status >= 500,
            _ => false,
        }
    }
}

/// Whether the answer describes the file that it redirects to.
fn names_linked_file(headers: &HeaderMap) -> bool {
    headers.contains_key("x-linked-etag") && headers.contains_key("x-linked-size")
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The certificate authorities to trust.
fn authorities(options: &HubOptions) -> Result<RootCerts, HubError> {
    let Some(path) = &options.authorities else { return Ok(RootCerts::WebPki) };
    let pem = fs::read(path).map_err(HubError::cache("read the certificates in", path))?;
    let items: Result<Vec<PemItem<'_>>, ureq::Error> = parse_pem(&pem).collect();
    let certificates: Vec<_> = items
        .unwrap_or_default()
        .into_iter()
        .filter_map(|item| match item {
            PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(HubError::Setting {
            setting: format!("SSL_CERT_FILE {}", path.display()),
            problem: "holds no certificate; expected PEM blocks that begin with -----BEGIN CERTIFICATE-----".into(),
        });
    }
    Ok(RootCerts::Specific(Arc::new(certificates)))
}
