//! `medparse serve`: the online endpoint.

mod announcement;
mod capacity;
mod confining;
mod first_start;
mod keys;
mod security;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use medparse::ModelSource;
use medparse_server::{
    Access, AppState, Certificates, IdentitySource, LogFormat, Server, ServerConfig, Store,
    init_log,
};

use crate::model_options::LoadingOptions;
use crate::output::{complain, write_all};
use crate::serving::{Models, lasting};
use crate::state_options::StateOptions;
use announcement::Announcement;
use capacity::CapacityOptions;
use confining::{Confined, ConfiningOptions, Outset};
use first_start::Fresh;
use keys::given_keys;
use security::SecurityOptions;

/// Answer over HTTP as an online endpoint of MedImageParse in Azure does.
///
/// Clients of such an endpoint work unchanged: they get another address and another key. The
/// first start makes the endpoint `medparse` with the deployment `default`; `medparse endpoint`
/// and `medparse keys` change both while the server runs, and so does azure-ai-ml with --azure.
///
/// Bound to this machine alone (the default), nobody is asked for a key. Bound to any other
/// address, every route but the health checks needs one.
#[derive(Args)]
#[command(
    after_long_help = "Examples:\n  medparse serve\n  medparse serve --model biomedparse_v1.pt --host 0.0.0.0\n  MEDPARSE_KEYS=first-long-key,second-long-key medparse serve --host 0.0.0.0 --state /data\n  medparse serve --azure --auth\n\nSIGTERM and Ctrl-C finish the accepted requests first; a second one ends at once.\nRUST_LOG chooses what is logged (warn, info, debug).\n\nResearch software, not a medical device."
)]
pub struct Arguments {
    /// Address to listen on; 0.0.0.0 is every one of this machine.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), env = "MEDPARSE_HOST", value_parser = host, value_name = "ADDRESS")]
    host: IpAddr,
    /// Port to listen on; 0 takes any that is free.
    #[arg(long, default_value_t = 5001, env = "MEDPARSE_PORT", value_name = "PORT")]
    port: u16,
    /// Base of the scoring URIs that are handed out, where clients reach this server by another
    /// name, such as https://rack7:5001.
    #[arg(long, env = "MEDPARSE_PUBLIC_URL", value_parser = public_url, value_name = "URL")]
    public_url: Option<String>,
    /// Ask for keys on a loopback address too.
    ///
    /// Keys are asked for on every other address anyway, where MEDPARSE_KEYS=PRIMARY,SECONDARY gives
    /// the scoring keys from outside, and where an issuer is named.
    #[arg(long, env = "MEDPARSE_AUTH", value_parser = FalseyValueParser::new())]
    auth: bool,
    /// Serve azure-ai-ml: over HTTPS, with a source of identities and a config.json; standard
    /// output is the environment that Azure's clients need, for a shell to source.
    #[arg(long, env = "MEDPARSE_AZURE", value_parser = FalseyValueParser::new())]
    azure: bool,
    /// Make no endpoint: they are all deployed from outside.
    #[arg(long)]
    bare: bool,
    /// Where --azure writes the file for `MLClient.from_config`.
    #[arg(long, requires = "azure", default_value = "config.json", value_name = "FILE")]
    azure_config: PathBuf,
    #[command(flatten)]
    security: SecurityOptions,
    #[command(flatten)]
    confining: ConfiningOptions,
    /// How log lines look.
    #[arg(long, default_value = "text", env = "MEDPARSE_LOG", value_name = "FORMAT")]
    log: LogArgument,
    /// The model: `bundled`, a .pt or .safetensors file, or `hub:owner/name`; several for a
    /// catalog. The deployment `default` gets the first; without this it keeps what it has.
    #[arg(long, env = "MEDPARSE_MODEL", value_name = "MODEL", help_heading = "Model")]
    model: Vec<ModelSource>,
    #[command(flatten)]
    loading: LoadingOptions,
    #[command(flatten)]
    capacity: CapacityOptions,
    #[command(flatten)]
    state: StateOptions,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogArgument {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

fn host(text: &str) -> Result<IpAddr, String> {
    match text {
        "localhost" => Ok(Ipv4Addr::LOCALHOST.into()),
        _ => text
            .parse()
            .map_err(|_| format!("{text:?} is not an address; expected one such as 127.0.0.1")),
    }
}

fn public_url(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.contains([' ', '?', '#']) => {
            Ok(text.trim_end_matches('/').to_owned())
        }
        _ => Err(format!("{text:?} is not a URL; expected one such as https://rack7:5001")),
    }
}

/// Runs the verb until a signal ends it.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    start(arguments, Walls::Up, |_| ())
}

/// As [`run`], unconfined; `listening` is told the address of the page once it can be opened.
pub fn run_and(arguments: &Arguments, listening: impl FnOnce(&str)) -> Result<ExitCode> {
    start(arguments, Walls::Down, listening)
}

/// Whether the server is confined as its options say, or not because it starts other programs.
#[derive(PartialEq, Eq)]
enum Walls {
    Up,
    Down,
}

fn start(arguments: &Arguments, walls: Walls, listening: impl FnOnce(&str)) -> Result<ExitCode> {
    init_log(match arguments.log {
        LogArgument::Text => LogFormat::Text,
        LogArgument::Json => LogFormat::Json,
    });
    let sources = sources(&arguments.model)?;
    let store = arguments.state.open()?;
    // Threads take over what binds the one that starts them: there are none before this.
    let confined =
        (walls == Walls::Up).then(|| confine(arguments, &store, &sources)).transpose()?;
    arguments.loading.set_threads()?;
    let config = config(arguments)?;
    let fresh = if arguments.bare { Fresh::Bare } else { Fresh::Furnished };
    first_start::prepare(&store, sources.first(), fresh)?;
    let certificates = certificates(arguments, &store)?;
    let mut models = Models::new(sources, arguments.loading.load_options());
    if confined.as_ref().is_some_and(|confined| !confined.connects) {
        models = models.without_connections();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the server's threads")?;
    let served = runtime.block_on(async {
        let state = AppState::new(config, store, Arc::new(models))?;
        let address = SocketAddr::from((arguments.host, arguments.port));
        let server = Server::bind(address, state.clone(), certificates.as_ref()).await?;
        let announcement = Announcement::new(&state, server.address(), certificates.as_ref());
        if arguments.azure {
            // Standard output is a file to source.
            complain(&announcement.text());
            write_all(announcement.exports(&arguments.azure_config)?.as_bytes())?;
        } else {
            write_all(announcement.text().as_bytes())?;
        }
        listening(&announcement.page());
        server.run(crate::signals::stop()?).await?;
        anyhow::Ok(())
    });
    // A model that still loads is nobody's loss.
    runtime.shutdown_background();
    served.map(|()| ExitCode::SUCCESS)
}

fn confine(arguments: &Arguments, store: &Store, sources: &[ModelSource]) -> Result<Confined> {
    let settings = arguments.azure.then_some(arguments.azure_config.as_path());
    let files: Vec<_> = arguments.security.audit_file().into_iter().chain(settings).collect();
    arguments.confining.confine(&Outset {
        store,
        sources,
        port: arguments.port,
        files: &files,
        asks_issuer: arguments.security.issuer()?.is_some(),
    })
}

/// The models by names that mean the same in every folder.
fn sources(typed: &[ModelSource]) -> Result<Vec<ModelSource>> {
    let folder = std::env::current_dir().context("cannot find the current folder")?;
    typed
        .iter()
        .map(|source| lasting(source.clone(), &folder).with_context(|| format!("--model {source}")))
        .collect()
}

fn config(arguments: &Arguments) -> Result<ServerConfig> {
    let given_keys = given_keys()?;
    let issuer = arguments.security.issuer()?;
    let asks = arguments.auth
        || issuer.is_some()
        || !given_keys.is_empty()
        || !arguments.host.is_loopback();
    Ok(ServerConfig {
        access: if asks { Access::Keys } else { Access::Open },
        identity: if arguments.azure { IdentitySource::On } else { IdentitySource::Off },
        capacity: arguments.capacity.capacity(),
        limits: arguments.capacity.limits(),
        timeouts: arguments.capacity.timeouts(),
        public_url: arguments.public_url.clone(),
        given_keys,
        issuer,
        rate: arguments.security.rate(),
        audit: arguments.security.audit()?,
        ..ServerConfig::default()
    })
}

fn certificates(arguments: &Arguments, store: &Store) -> Result<Option<Certificates>> {
    Ok(match arguments.security.tls_files() {
        Some(files) => Some(Certificates::from_files(files)?),
        None if arguments.azure => {
            let hosts = [Some(arguments.host.to_string()), public_host(arguments)];
            let hosts: Vec<_> = hosts.into_iter().flatten().collect();
            Some(Certificates::local(store.folder(), &hosts)?)
        }
        None => None,
    })
}

/// The host of the public URL, without its port.
fn public_host(arguments: &Arguments) -> Option<String> {
    let (_, rest) = arguments.public_url.as_ref()?.split_once("://")?;
    let authority = rest.split('/').next()?;
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next()?,
        None => authority.split(':').next()?,
    };
    Some(host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_when_typed() {
        assert!(host("localhost").unwrap().is_loopback());
        assert!(host("::").unwrap().is_unspecified());
        assert!(host("rack7").is_err());
        assert_eq!(public_url("https://rack7:5001/").unwrap(), "https://rack7:5001");
        for wrong in ["rack7", "https://", "ftp://rack7", "http://a b"] {
            assert!(public_url(wrong).is_err(), "{wrong}");
        }
    }
}
