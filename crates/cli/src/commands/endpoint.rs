//! `medparse endpoint`: endpoints and deployments of a server, running or not.

mod changes;
mod traffic;
mod view;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand};
use medparse::LoadOptions;
use medparse_server::admin::{delete_deployment, delete_endpoint};
use medparse_server::store::Document;
use medparse_server::{AdminError, Manifest, ModelLoader, Store};

use crate::output::{complain, say, say_json};
use crate::serving::Models;
use crate::state_options::StateOptions;
use changes::{Intent, Settings};
use view::EndpointView;

/// Make, change, list and delete endpoints and their deployments.
///
/// A server that runs on the same state follows within a second.
#[derive(Subcommand)]
#[command(
    after_help = "Examples:\n  medparse endpoint create ward7 --model biomedparse_v1.pt\n  medparse endpoint create ward7 --deployment green --model next.safetensors --expires-in 168h\n  medparse endpoint update ward7 --traffic default=90,green=10\n  medparse endpoint create -f ward7.yaml"
)]
pub enum Command {
    /// Make an endpoint, a deployment of one, or what a file names.
    ///
    /// The first deployment of an endpoint gets all its traffic, a further one none.
    Create(Change),
    /// Change an endpoint, a deployment, or what a file names; what is not named stays.
    Update(Change),
    /// List the endpoints.
    List(List),
    /// Show an endpoint with its deployments.
    Show(Named),
    /// Delete an endpoint with its keys, or one deployment that gets no traffic.
    Delete(Delete),
}

/// What `create` and `update` take.
#[derive(Args)]
pub struct Change {
    /// The endpoint.
    #[arg(required_unless_present = "file", conflicts_with = "file", value_name = "NAME")]
    name: Option<String>,
    /// A YAML file: an endpoint with its deployments, or what `az ml online-endpoint` and
    /// `az ml online-deployment` read.
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    /// Print the endpoint as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    state: StateOptions,
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

/// What `show` takes.
#[derive(Args)]
pub struct Named {
    /// The endpoint.
    #[arg(value_name = "NAME")]
    name: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    state: StateOptions,
}

/// What `delete` takes.
#[derive(Args)]
pub struct Delete {
    /// The endpoint.
    #[arg(value_name = "NAME")]
    name: String,
    /// Delete this deployment only.
    #[arg(long, value_name = "NAME")]
    deployment: Option<String>,
    #[command(flatten)]
    state: StateOptions,
}

/// Runs one of the verbs.
pub fn run(command: &Command) -> Result<ExitCode> {
    match command {
        Command::Create(change) => apply(change, Intent::Create)?,
        Command::Update(change) => apply(change, Intent::Update)?,
        Command::List(list) => show_all(list)?,
        Command::Show(Named { name, json, state }) => {
            show(&*state.open()?.read()?, name, *json)?;
        }
        Command::Delete(delete) => remove(delete)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn apply(change: &Change, intent: Intent) -> Result<()> {
    let store = change.state.open()?;
    let name = match &change.file {
        Some(file) => {
            ensure!(
                change.settings.is_empty(),
                "--file says everything itself; put the other settings into {}",
                file.display()
            );
            apply_file(&store, file, intent)?
        }
        None => {
            // clap asks for a name where there is no file.
            let name = change.name.clone().unwrap_or_default();
            let settings = change.settings.lasting()?;
            store.update(|document| changes::apply(document, &name, &settings, intent))?;
            name
        }
    };
    show(&*store.read()?, &name, change.json)
}

fn apply_file(store: &Store, file: &Path, intent: Intent) -> Result<String> {
    let place = || file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", place()))?;
    let manifest = Manifest::parse(&text).with_context(place)?;
    let catalog = Models::new(Vec::new(), LoadOptions::default()).catalog();
    let folder = file.parent().unwrap_or(Path::new("."));
    store.update(|document| {
        let name = manifest.endpoint();
        if intent == Intent::Update && !document.endpoints.contains_key(name) {
            return Err(AdminError::NoEndpoint(name.to_owned()).into());
        }
        manifest.apply(document, &catalog).with_context(place)?;
        changes::anchor_models(document, name, folder).with_context(place)
    })?;
    Ok(manifest.endpoint().to_owned())
}

fn show_all(list: &List) -> Result<()> {
    let document = list.state.open()?.read()?;
    let views = EndpointView::all(&document);
    if list.json {
        return say_json(&views);
    }
    if views.is_empty() {
        complain("no endpoint has been made yet: `medparse serve` or `medparse endpoint create`");
    }
    views.iter().try_for_each(|view| say(&view.line()))
}

fn show(document: &Document, name: &str, json: bool) -> Result<()> {
    let view = EndpointView::of(document, name)?;
    if json { say_json(&view) } else { say(&view.text()) }
}

fn remove(delete: &Delete) -> Result<()> {
    let Delete { name, deployment, state } = delete;
    state.open()?.update(|document| match deployment {
        Some(deployment) => delete_deployment(document, name, deployment),
        None => delete_endpoint(document, name),
    })?;
    Ok(())
}
