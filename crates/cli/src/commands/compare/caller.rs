//! A scoring route, asked over HTTP as clients of the hosted service ask it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use medparse_wire::{ScoreRow, read_score_reply};
use ureq::Agent;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

/// Tries of a request that the endpoint is too busy for.
const TRIES: u32 = 6;

/// The longest pause between two of them, in seconds.
const LONGEST_PAUSE: u64 = 30;

/// The longest reply that is read, in bytes.
const LONGEST_REPLY: u64 = 4 << 30;

/// The longest part of an error's text that is repeated, in characters.
const LONGEST_WORD: usize = 300;

/// Where and how to ask.
pub struct CallerOptions {
    pub url: String,
    pub key: Option<String>,
    /// Certificates to trust instead of the public ones, PEM.
    pub authorities: Option<PathBuf>,
    /// Seconds that a reply may take.
    pub seconds: u64,
}

/// One endpoint.
pub struct Caller {
    agent: Agent,
    url: String,
    key: Option<String>,
}

impl Caller {
    /// An endpoint that is not asked yet.
    ///
    /// # Errors
    /// When the address is none, or the certificates can't be read.
    pub fn new(options: CallerOptions) -> Result<Self> {
        ensure!(
            options.url.starts_with("http://") || options.url.starts_with("https://"),
            "{:?} is no scoring URI; expected one such as http://127.0.0.1:5001/score",
            options.url
        );
        let roots = match &options.authorities {
            None => RootCerts::WebPki,
            Some(path) => authorities(path)?,
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .user_agent(concat!("medparse/", env!("CARGO_PKG_VERSION")))
            .timeout_global(Some(Duration::from_secs(options.seconds)))
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .build();
        Ok(Self { agent: config.into(), url: options.url, key: options.key })
    }

    /// The rows of a reply; waits as long as the endpoint asks where it is busy.
    ///
    /// # Errors
    /// When there is no reply, or one that is not the contract's.
    pub fn ask(&self, body: &[u8]) -> Result<Vec<ScoreRow>> {
        let mut left = TRIES;
        loop {
            left -= 1;
            let mut request = self.agent.post(&self.url).header("content-type", "application/json");
            if let Some(key) = &self.key {
                request = request.header("authorization", format!("Bearer {key}"));
            }
            let mut response = request.send(body)?;
            let status = response.status();
            let pause = response.headers().get("retry-after");
            let pause = pause.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
            let reply = response.body_mut().with_config().limit(LONGEST_REPLY).read_to_vec()?;
            match status.as_u16() {
                200 => return Ok(read_score_reply(&reply)?),
                429 | 503 if left > 0 => {
                    let seconds = pause.unwrap_or(1).clamp(1, LONGEST_PAUSE);
                    std::thread::sleep(Duration::from_secs(seconds));
                }
                status => {
                    let text: String =
                        String::from_utf8_lossy(&reply).chars().take(LONGEST_WORD).collect();
                    bail!("answered {status}: {text}");
                }
            }
        }
    }
}

fn authorities(path: &Path) -> Result<RootCerts> {
    let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let certificates: Vec<_> = parse_pem(&pem)
        .filter_map(Result::ok)
        .filter_map(|item| match item {
            PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        })
        .collect();
    ensure!(
        !certificates.is_empty(),
        "{} holds no certificate; expected PEM blocks that begin with -----BEGIN CERTIFICATE-----",
        path.display()
    );
    Ok(RootCerts::Specific(Arc::new(certificates)))
}
