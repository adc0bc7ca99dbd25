//! The server over a model that costs nothing, for load tests and for driving it with real clients:
//! `cargo run --release -p medparse-server --example stub -- --state DIR [--port N] [--delay-ms N] [--slots N]
//! [--waiting N] [--head-ms N] [--keys A,B] [--open] [--azure] [--empty] [--grant]`.
//!
//! The first line on standard output is the address; with `--azure` the environment for Azure's clients follows, with
//! `--grant` a key for everything.

#[path = "../tests/common/stub.rs"]
mod stub;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use medparse_server::admin::{
    DeploymentSpec, EndpointSpec, KeyGrant, grant_key, put_deployment, put_endpoint,
};
use medparse_server::store::Scope;
use medparse_server::{
    Access, AdminError, AppState, Capacity, Certificates, IdentitySource, LogFormat, SecretText,
    Server, ServerConfig, Store, Timeouts, azure, init_log,
};
use tokio::signal::unix::{SignalKind, signal};

/// What was typed: `--name value`, or `--name` alone.
struct Arguments(HashMap<String, String>);

impl Arguments {
    fn read() -> Self {
        let mut given = HashMap::new();
        let mut words = std::env::args().skip(1).peekable();
        while let Some(word) = words.next() {
            let value = words.next_if(|next| !next.starts_with("--")).unwrap_or_default();
            given.insert(word.trim_start_matches("--").to_owned(), value);
        }
        Self(given)
    }

    fn number(&self, name: &str, default: u64) -> Result<u64> {
        self.0
            .get(name)
            .map_or(Ok(default), |text| text.parse().with_context(|| format!("--{name} {text}")))
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::read();
    init_log(LogFormat::Json);
    let store = Store::open(arguments.0.get("state").context("--state DIR is missing")?)?;
    if !arguments.has("empty") {
        make_default(&store)?;
    }
    let granted = arguments.has("grant").then(|| grant(&store)).transpose()?;
    let certificates =
        arguments.has("azure").then(|| Certificates::local(store.folder(), &[])).transpose()?;
    let loader = Arc::new(stub::StubLoader {
        delay: Duration::from_millis(arguments.number("delay-ms", 0)?),
        ..Default::default()
    });
    let state = AppState::new(config(&arguments)?, store, loader)?;
    let port = u16::try_from(arguments.number("port", 0)?)?;
    let server = Server::bind(
        SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        state.clone(),
        certificates.as_ref(),
    );
    let server = server.await?;
    print_address(&server, &state, certificates.as_ref(), granted.as_ref())?;
    let mut terminate = signal(SignalKind::terminate())?;
    server.run(async move { while terminate.recv().await.is_none() {} }).await?;
    Ok(())
}

fn config(arguments: &Arguments) -> Result<ServerConfig> {
    let keys = arguments.0.get("keys").map(String::as_str).unwrap_or_default();
    let head = Duration::from_millis(arguments.number("head-ms", 30_000)?);
    Ok(ServerConfig {
        access: if arguments.has("open") { Access::Open } else { Access::Keys },
        identity: if arguments.has("azure") { IdentitySource::On } else { IdentitySource::Off },
        capacity: Capacity {
            slots: usize::try_from(arguments.number("slots", 1)?)?,
            waiting: usize::try_from(arguments.number("waiting", 32)?)?,
            ..Capacity::default()
        },
        given_keys: keys.split(',').filter(|key| !key.is_empty()).map(SecretText::new).collect(),
        timeouts: Timeouts { head, body_stall: head, ..Timeouts::default() },
        ..ServerConfig::default()
    })
}

/// The endpoint "medparse" with all its traffic on the deployment "default", unless it is there.
fn make_default(store: &Store) -> Result<(), AdminError> {
    store.update(|document| {
        if document.endpoints.contains_key("medparse") {
            return Ok(());
        }
        put_endpoint(document, "medparse", EndpointSpec::default())?;
        let spec = DeploymentSpec { model: "bundled".into(), ..Default::default() };
        put_deployment(document, "medparse", "default", spec)?;
        let traffic = Some([("default".to_owned(), 100)].into());
        put_endpoint(document, "medparse", EndpointSpec { traffic, ..Default::default() })?;
        Ok(())
    })
}

/// A key for everything.
fn grant(store: &Store) -> Result<SecretText, AdminError> {
    let scopes = [Scope::Score, Scope::Manage, Scope::Metrics].into();
    let grant = KeyGrant { scopes, label: Some("tests".into()), ..KeyGrant::default() };
    store.update(|document| grant_key(document, grant)).map(|(_, key)| key)
}

#[expect(clippy::print_stdout, reason = "whoever started this reads the address")]
fn print_address(
    server: &Server,
    state: &AppState,
    certificates: Option<&Certificates>,
    granted: Option<&SecretText>,
) -> Result<()> {
    let scheme = if certificates.is_some() { "https" } else { "http" };
    let base = format!("{scheme}://localhost:{}", server.address().port());
    let mut text = format!("{base}\n");
    if certificates.is_some() {
        azure::write_config(
            &state.store().folder().join(Path::new("config.json")),
            &state.config().workspace,
        )?;
        for export in azure::exports(&base, state.store(), certificates) {
            text += &format!("export {}={}\n", export.name, export.value.expose());
        }
    }
    if let Some(key) = granted {
        text += &format!("key {}\n", key.expose());
    }
    println!("{text}");
    Ok(())
}
