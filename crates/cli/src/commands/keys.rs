//! `medparse keys`: who may call a server, running or not.

mod view;

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand, ValueEnum};
use jiff::SignedDuration;
use medparse_server::admin::{
    KeyGrant, KeySlot, endpoint_keys, grant_key, regenerate_key, revoke_key, rotate_key,
};
use medparse_server::store::{AuthMode, Document, Scope};
use medparse_server::{AdminError, Rate, SecretText, Store};

use crate::lifetimes::lifetime;
use crate::output::{complain, say, say_json};
use crate::state_options::StateOptions;
use view::{EndpointKeysView, GrantedView, KeyView};

/// Show the keys of an endpoint; grant, list, revoke and rotate further ones.
///
/// Every endpoint has a primary and a secondary key, both valid. Further keys can be granted to
/// one person or program, for one use, one deployment, one time. A server that runs on the same
/// state refuses a revoked key on the next request.
#[derive(Subcommand)]
#[command(
    after_help = "Examples:\n  medparse keys show\n  medparse keys create --scope score --deployment green --expires 90d\n  medparse keys list\n  medparse keys revoke 4f0c93a1be\n  medparse keys rotate secondary"
)]
pub enum Command {
    /// Grant a key: it is printed once, and only its hash is kept.
    Create(Create),
    /// List the keys that were granted.
    List(List),
    /// Revoke a key: it fails on the next request.
    Revoke(Revoke),
    /// Replace a granted key, or the primary or secondary key of an endpoint.
    Rotate(Rotate),
    /// Show the primary and the secondary key of an endpoint.
    Show(Show),
}

/// What `create` takes.
#[derive(Args)]
pub struct Create {
    /// What the key may be used for; several are separated by commas.
    #[arg(long, required = true, value_delimiter = ',', value_name = "SCOPE")]
    scope: Vec<ScopeArgument>,
    /// The only endpoint it is good for; with --deployment, the one that /score serves by default.
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,
    /// The only deployment it is good for.
    #[arg(long, value_name = "NAME")]
    deployment: Option<String>,
    /// How long it is valid, as in 90d; for ever by default.
    #[arg(long, value_parser = lifetime, value_name = "TIME")]
    expires: Option<SignedDuration>,
    /// How often it may be used, as in 10/s, instead of the server's own rate.
    #[arg(long, value_name = "RATE")]
    rate: Option<Rate>,
    /// A note on whose it is.
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    state: StateOptions,
}

#[derive(Clone, Copy, ValueEnum)]
enum ScopeArgument {
    /// Asking for masks.
    Score,
    /// Changing endpoints, deployments and keys.
    Manage,
    /// Reading /metrics.
    Metrics,
}

impl From<ScopeArgument> for Scope {
    fn from(scope: ScopeArgument) -> Self {
        match scope {
            ScopeArgument::Score => Self::Score,
            ScopeArgument::Manage => Self::Manage,
            ScopeArgument::Metrics => Self::Metrics,
        }
    }
}

/// What `list` takes.
#[derive(Args)]
pub struct List {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    state: StateOptions,
}

/// What `revoke` takes.
#[derive(Args)]
pub struct Revoke {
    /// The key's id, as `keys list` shows it.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    state: StateOptions,
}

/// What `rotate` takes.
#[derive(Args)]
pub struct Rotate {
    /// The id of a granted key, `primary` or `secondary`.
    #[arg(value_name = "KEY")]
    key: String,
    /// The endpoint whose primary or secondary key is meant; the one that /score serves by default.
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,
    /// How long a granted key stays valid beside the new one; it ends at once by default.
    #[arg(long, value_parser = lifetime, value_name = "TIME")]
    grace: Option<SignedDuration>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    state: StateOptions,
}

/// What `show` takes.
#[derive(Args)]
pub struct Show {
    /// The endpoint; the one that /score serves by default.
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,
    /// Print this key and nothing else.
    #[arg(long, conflicts_with = "json", value_name = "WHICH")]
    only: Option<Slot>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    state: StateOptions,
}

#[derive(Clone, Copy, ValueEnum)]
enum Slot {
    /// The primary key.
    Primary,
    /// The secondary key.
    Secondary,
}

/// Runs one of the verbs.
pub fn run(command: &Command) -> Result<ExitCode> {
    match command {
        Command::Create(create) => grant(create)?,
        Command::List(arguments) => list(arguments)?,
        Command::Revoke(Revoke { id, state }) => {
            state.open()?.update(|document| revoke_key(document, id))?;
        }
        Command::Rotate(arguments) => rotate(arguments)?,
        Command::Show(arguments) => show(arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn grant(create: &Create) -> Result<()> {
    let grant = KeyGrant {
        scopes: create.scope.iter().copied().map(Scope::from).collect(),
        endpoint: create.endpoint.clone(),
        deployment: create.deployment.clone(),
        rate: create.rate,
        label: create.label.clone(),
        expires_in: create.expires,
    };
    let (record, key) = create.state.open()?.update(|document| grant_key(document, grant))?;
    let view = KeyView::new(&record);
    if create.json {
        return say_json(&GrantedView::new(view, &key));
    }
    complain(&format!("granted {}; the key is shown only now", view.line()));
    say(key.expose())
}

fn list(arguments: &List) -> Result<()> {
    let document = arguments.state.open()?.read()?;
    let views: Vec<_> = document.keys.iter().map(KeyView::new).collect();
    if arguments.json {
        return say_json(&views);
    }
    if views.is_empty() {
        complain("no key was granted; `medparse keys show` shows those of an endpoint");
    }
    views.iter().try_for_each(|view| say(&view.line()))
}

fn rotate(arguments: &Rotate) -> Result<()> {
    let store = arguments.state.open()?;
    let slot = Slot::from_str(&arguments.key, false);
    let Ok(slot) = slot else {
        ensure!(
            arguments.endpoint.is_none(),
            "--endpoint goes with `primary` or `secondary`, not with a granted key"
        );
        let grace = arguments.grace.unwrap_or(SignedDuration::ZERO);
        let id = &arguments.key;
        let key = store.update(|document| rotate_key(document, id, grace))?;
        return if arguments.json {
            let document = store.read()?;
            let record = document.keys.iter().find(|record| record.id == *id);
            let record = record.ok_or_else(|| AdminError::NoKey(id.clone()))?;
            say_json(&GrantedView::new(KeyView::new(record), &key))
        } else {
            say(key.expose())
        };
    };
    ensure!(
        arguments.grace.is_none(),
        "--grace is for granted keys: the {} key of an endpoint ends at once, and its other one stays",
        arguments.key
    );
    let name = endpoint_or_default(&*store.read()?, arguments.endpoint.as_deref())?;
    let which = match slot {
        Slot::Primary => KeySlot::Primary,
        Slot::Secondary => KeySlot::Secondary,
    };
    store.update(|document| regenerate_key(document, &name, which))?;
    let keys = keys_of(&store, &name)?;
    if arguments.json {
        say_json(&EndpointKeysView::new(&name, &keys))
    } else {
        say(one(&keys, slot).expose())
    }
}

fn show(arguments: &Show) -> Result<()> {
    let store = arguments.state.open()?;
    let name = endpoint_or_default(&*store.read()?, arguments.endpoint.as_deref())?;
    let keys = keys_of(&store, &name)?;
    match arguments.only {
        Some(slot) => say(one(&keys, slot).expose()),
        None if arguments.json => say_json(&EndpointKeysView::new(&name, &keys)),
        None => {
            say(&format!("primary    {}", keys[0].expose()))?;
            say(&format!("secondary  {}", keys[1].expose()))
        }
    }
}

fn one(keys: &[SecretText; 2], slot: Slot) -> &SecretText {
    match slot {
        Slot::Primary => &keys[0],
        Slot::Secondary => &keys[1],
    }
}

fn keys_of(store: &Store, name: &str) -> Result<[SecretText; 2]> {
    let document = store.read()?;
    let keys = endpoint_keys(store, &document, name)?;
    let mode = document.endpoints.get(name).map_or(AuthMode::Key, |endpoint| endpoint.auth_mode);
    if mode != AuthMode::Key {
        return Err(AdminError::NotKeyed { name: name.to_owned(), mode }.into());
    }
    Ok(keys)
}

fn endpoint_or_default(document: &Document, name: Option<&str>) -> Result<String> {
    name.or(document.default_endpoint.as_deref()).map(ToOwned::to_owned).context(
        "no endpoint has been made yet: `medparse serve` or `medparse endpoint create` makes one",
    )
}
