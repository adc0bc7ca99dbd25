//! Pulling models from a local server that plays the Hugging Face hub.

mod fake;
mod interrupted;
mod network;
mod pulled;
mod refused;

use std::time::Duration;

use fake::{Repository, Server};
use medparse::sources::hub::{self, HubError, HubOptions, HubReference, Progress, Pulled};
use tempfile::TempDir;

/// A hub with the usual repository, whose large files lie on the hub itself.
fn usual_hub() -> Server {
    let repository = Repository::usual();
    Server::start(move |request| repository.answer(request))
}

/// Options for a hub: an own cache and no patience.
fn options(hub: &Server, cache: &TempDir) -> HubOptions {
    let mut options = HubOptions::new(cache.path());
    options.endpoint = hub.url.clone();
    options.retry.pause = Duration::from_millis(5);
    options
}

fn cache() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn reference(text: &str) -> HubReference {
    text.parse().unwrap()
}

fn pull(text: &str, options: &HubOptions) -> Result<Pulled, HubError> {
    hub::pull(&reference(text), options, &mut |_| {})
}

/// Pulls and keeps what was told, as text.
fn pull_telling(text: &str, options: &HubOptions) -> (Result<Pulled, HubError>, Vec<String>) {
    let mut told = Vec::new();
    let pulled = hub::pull(&reference(text), options, &mut |progress: Progress<'_>| {
        told.push(format!("{progress:?}"))
    });
    (pulled, told)
}

/// The sentence of a pull that must fail.
fn failing(text: &str, options: &HubOptions) -> String {
    pull(text, options).expect_err(text).to_string()
}

/// Asserts that a sentence holds all words.
fn assert_says(sentence: &str, words: &[&str]) {
    for word in words {
        assert!(sentence.contains(word), "{word:?} is not in {sentence:?}");
    }
}
