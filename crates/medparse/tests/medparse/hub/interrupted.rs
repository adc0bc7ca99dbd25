//! Downloads that stop, resume, arrive damaged or meet another process.

use std::fs;
use std::path::PathBuf;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use medparse::sources::hub::HubError;
use tempfile::TempDir;

use super::fake::{Reply, Repository, Request, Server, sha256, weights};
use super::{assert_says, cache, failing, options, pull, pull_telling};

/// Whether a request asks for the bytes of the model file.
fn is_download(request: &Request) -> bool {
    request.method == "GET" && request.target.ends_with("/model.safetensors")
}

/// A hub that changes its answer to the n-th download (from 0) of the model file.
fn hub(change: impl Fn(usize, &Request, Reply) -> Reply + Send + Sync + 'static) -> Server {
    let (repository, count) = (Repository::usual(), AtomicUsize::new(0));
    Server::start(move |request| {
        let reply = repository.answer(request);
        if is_download(request) {
            change(count.fetch_add(1, Ordering::SeqCst), request, reply)
        } else {
            reply
        }
    })
}

fn blob(cache: &TempDir, ending: &str) -> PathBuf {
    cache.path().join(format!("models--lab--model/blobs/{}{ending}", sha256(&weights())))
}

fn ranges(hub: &Server) -> Vec<(Option<String>, u16, usize)> {
    let downloads = hub.asked("GET", "/model.safetensors");
    downloads
        .iter()
        .map(|one| (one.request.header("range").map(Into::into), one.status, one.sent))
        .collect()
}

#[test]
fn the_next_pull_goes_on_where_the_last_one_broke() {
    let hub = hub(|count, _, reply| Reply { cut: (count == 0).then_some(100_000), ..reply });
    let cache = cache();
    let mut options = options(&hub, &cache);
    options.retry.times = 0;

    let error = pull("hub:lab/model", &options).unwrap_err();
    assert!(
        matches!(error, HubError::Interrupted { received: 100_000, size: 300_007, .. }),
        "{error:?}"
    );
    assert_says(
        &error.to_string(),
        &["model.safetensors stopped after 100000 of 300007 bytes", "pull again"],
    );
    assert_eq!(fs::read(blob(&cache, ".incomplete")).unwrap(), weights()[..100_000]);
    assert!(
        !cache.path().join("models--lab--model/refs/main").exists(),
        "a half-pulled commit is no answer offline"
    );

    let (pulled, told) = pull_telling("hub:lab/model", &options);
    assert_eq!(fs::read(pulled.unwrap().weights).unwrap(), weights());
    assert_eq!(ranges(&hub), [(None, 200, 100_000), (Some("bytes=100000-".into()), 206, 200_007)]);
    assert!(
        told.contains(
            &"Started { file: \"model.safetensors\", size: 300007, resumed: 100000 }".into()
        ),
        "{told:?}"
    );
    assert!(!blob(&cache, ".incomplete").exists());
}

#[test]
fn a_broken_connection_is_taken_up_again_within_one_pull() {
    let hub = hub(|count, _, reply| Reply { cut: (count < 3).then_some(50_000), ..reply });
    let cache = cache();
    let mut options = options(&hub, &cache);
    options.retry.times = 1;
    let (pulled, told) = pull_telling("hub:lab/model", &options);
    assert_eq!(fs::read(pulled.unwrap().weights).unwrap(), weights());
    let sent: Vec<usize> = ranges(&hub).iter().map(|(_, _, sent)| *sent).collect();
    assert_eq!(sent, [50_000, 50_000, 50_000, 150_007], "each went on where the one before broke");
    assert_eq!(told.iter().filter(|told| told.starts_with("Retrying")).count(), 3, "{told:?}");
}

#[test]
fn a_server_that_ignores_ranges_begins_again() {
    let hub = hub(|count, _, reply| match count {
        0 => Reply { cut: Some(100_000), ..reply },
        _ => Reply { status: 200, body: weights(), ..reply.without("Content-Range") },
    });
    let cache = cache();
    let pulled = pull("hub:lab/model", &options(&hub, &cache)).unwrap();
    assert_eq!(fs::read(pulled.weights).unwrap(), weights());
    assert_eq!(ranges(&hub), [(None, 200, 100_000), (Some("bytes=100000-".into()), 200, 300_007)]);
}

#[test]
fn a_range_that_cannot_be_given_begins_again() {
    let hub = hub(
        |_, request, reply| if request.header("range").is_some() { Reply::new(416) } else { reply },
    );
    let cache = cache();
    fs::create_dir_all(blob(&cache, "").parent().unwrap()).unwrap();
    fs::write(blob(&cache, ".incomplete"), &weights()[..1000]).unwrap();
    let pulled = pull("hub:lab/model", &options(&hub, &cache)).unwrap();
    assert_eq!(fs::read(pulled.weights).unwrap(), weights());
}

#[test]
fn a_range_from_the_wrong_place_is_refused() {
    let hub =
        hub(|_, _, reply| reply.without("Content-Range").with("Content-Range", "bytes 5-9/300007"));
    let cache = cache();
    fs::create_dir_all(blob(&cache, "").parent().unwrap()).unwrap();
    fs::write(blob(&cache, ".incomplete"), &weights()[..1000]).unwrap();
    assert_says(
        &failing("hub:lab/model", &options(&hub, &cache)),
        &["\"bytes 1000-\"", "\"bytes 5-9/300007\""],
    );
}

#[test]
fn a_complete_leftover_is_checked_and_kept_without_a_download() {
    let (hub, cache) = (hub(|_, _, reply| reply), cache());
    fs::create_dir_all(blob(&cache, "").parent().unwrap()).unwrap();
    fs::write(blob(&cache, ".incomplete"), weights()).unwrap();
    let pulled = pull("hub:lab/model", &options(&hub, &cache)).unwrap();
    assert_eq!(fs::read(pulled.weights).unwrap(), weights());
    assert!(ranges(&hub).is_empty());
}

#[test]
fn a_leftover_longer_than_the_file_begins_again() {
    let (hub, cache) = (hub(|_, _, reply| reply), cache());
    fs::create_dir_all(blob(&cache, "").parent().unwrap()).unwrap();
    fs::write(blob(&cache, ".incomplete"), vec![7; 300_008]).unwrap();
    let pulled = pull("hub:lab/model", &options(&hub, &cache)).unwrap();
    assert_eq!(fs::read(pulled.weights).unwrap(), weights());
}

#[test]
fn wrong_bytes_are_deleted_and_named() {
    let hub = hub(|_, _, mut reply| {
        reply.body[123_456] ^= 1;
        reply
    });
    let cache = cache();
    let mut damaged = weights();
    damaged[123_456] ^= 1;
    let sentence = failing("hub:lab/model", &options(&hub, &cache));
    assert_says(
        &sentence,
        &["model.safetensors", "sha256", &sha256(&weights()), &sha256(&damaged)],
    );
    assert!(!blob(&cache, ".incomplete").exists() && !blob(&cache, "").exists());
    assert_eq!(ranges(&hub).len(), 1, "a damaged file is not asked for again by itself");
}

#[test]
fn a_damaged_leftover_is_found_out() {
    let (hub, cache) = (hub(|_, _, reply| reply), cache());
    fs::create_dir_all(blob(&cache, "").parent().unwrap()).unwrap();
    fs::write(blob(&cache, ".incomplete"), vec![7; 1000]).unwrap();
    let options = options(&hub, &cache);
    assert_says(&failing("hub:lab/model", &options), &["arrived damaged"]);
    assert_eq!(fs::read(pull("hub:lab/model", &options).unwrap().weights).unwrap(), weights());
}

#[test]
fn small_files_are_checked_against_git() {
    let repository = Repository::usual();
    let hub = Server::start(move |request| {
        let mut reply = repository.answer(request);
        if request.method == "GET" && request.target.ends_with("/config.yaml") {
            reply.body = b"DIM: 9\n".to_vec();
        }
        reply
    });
    let cache = cache();
    assert_says(
        &failing("hub:lab/model", &options(&hub, &cache)),
        &["config.yaml arrived damaged: expected git sha1"],
    );
}

#[test]
fn more_bytes_than_announced_are_not_kept() {
    let hub = hub(|_, _, mut reply| {
        reply.body.extend_from_slice(&[0; 1_000_000]);
        reply
    });
    let cache = cache();
    assert_says(
        &failing("hub:lab/model", &options(&hub, &cache)),
        &["wrong size", "expected 300007 bytes"],
    );
    assert!(!blob(&cache, ".incomplete").exists());
}

#[test]
fn a_slow_server_that_keeps_moving_is_borne() {
    let pace = Duration::from_millis(100);
    let hub = hub(move |_, _, reply| Reply { pace, piece: 20_000, ..reply });
    let cache = cache();
    let mut options = options(&hub, &cache);
    options.timeouts.read = Duration::from_secs(1);
    let pulled = pull("hub:lab/model", &options).unwrap();
    assert_eq!(fs::read(pulled.weights).unwrap(), weights());
    assert_eq!(
        ranges(&hub).len(),
        1,
        "16 pieces of 100 ms outlast the limit for silence, and none of them breaks it"
    );
}

#[test]
fn a_server_that_falls_silent_is_asked_for_the_rest() {
    let pace = Duration::from_secs(5);
    let hub = hub(
        move |count, _, reply| {
            if count == 0 { Reply { pace, piece: 200_000, ..reply } } else { reply }
        },
    );
    let cache = cache();
    let mut options = options(&hub, &cache);
    options.timeouts.read = Duration::from_secs(1);
    let pulled = pull("hub:lab/model", &options).unwrap();
    assert_eq!(fs::read(pulled.weights).unwrap(), weights());
    assert_eq!(ranges(&hub)[1].0.as_deref(), Some("bytes=200000-"));
}

#[test]
fn two_pulls_of_one_file_transfer_it_once() {
    let (repository, together, pace) =
        (Repository::usual(), Barrier::new(3), Duration::from_millis(50));
    let hub = Server::start(move |request| {
        // All three know the file's size and checksum before the first download begins.
        if request.method == "HEAD" && request.target.ends_with("/model.safetensors") {
            together.wait();
        }
        let reply = repository.answer(request);
        if is_download(request) { Reply { pace, piece: 20_000, ..reply } } else { reply }
    });
    let cache = cache();
    let options = &options(&hub, &cache);
    let told: Vec<String> = thread::scope(|scope| {
        let pulls: Vec<_> =
            (0..3).map(|_| scope.spawn(|| pull_telling("hub:lab/model", options))).collect();
        let done = pulls.into_iter().map(|pull| pull.join().unwrap());
        done.flat_map(|(pulled, told)| {
            assert_eq!(fs::read(pulled.unwrap().weights).unwrap(), weights());
            told
        })
        .collect()
    });
    assert_eq!(ranges(&hub).len(), 1);
    let waited =
        told.iter().filter(|told| *told == "Waiting { file: \"model.safetensors\" }").count();
    assert_eq!(waited, 2, "{told:?}");
}

#[test]
fn a_cache_that_cannot_be_written_says_so() {
    let (hub, cache) = (hub(|_, _, reply| reply), cache());
    fs::write(cache.path().join("models--lab--model"), "a file where a folder belongs").unwrap();
    let sentence = failing("hub:lab/model", &options(&hub, &cache));
    assert_says(&sentence, &["cannot create the folder", "models--lab--model", "HF_HUB_CACHE"]);
}
