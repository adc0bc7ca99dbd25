//! Every refusal of the hub, and answers that are none of a hub.

use medparse::sources::hub::{HubError, Token};

use super::fake::{COMMIT, Held, Reply, Repository, Server, refused};
use super::{assert_says, cache, failing, options, pull, usual_hub};

/// A hub that answers every question for bytes or sizes with one refusal, and lists files as usual.
fn closed(status: u16, code: &'static str) -> Server {
    let repository = Repository::usual();
    Server::start(move |request| {
        if request.target.contains("/resolve/") {
            refused(status, code)
        } else {
            repository.answer(request)
        }
    })
}

#[test]
fn a_gated_repository_tells_how_to_get_in() {
    for status in [401, 403] {
        let (hub, cache) = (closed(status, "GatedRepo"), cache());
        let mut options = options(&hub, &cache);
        let sentence = failing("hub:lab/model", &options);
        let page = format!("{}/lab/model", hub.url);
        assert_says(
            &sentence,
            &["lab/model is gated", "accept its terms", &page, "no token was sent", "HF_TOKEN"],
        );
        options.token = Token::new("hf_secret").unwrap();
        let sentence = failing("hub:lab/model", &options);
        assert_says(&sentence, &["is gated", "a token was sent", "do not suffice"]);
        assert!(!sentence.contains("hf_secret"), "{sentence}");
    }
}

#[test]
fn a_refused_token_is_not_repeated() {
    let hub = Server::start(|_| {
        Reply::new(401).with("X-Error-Message", "Invalid credentials in Authorization header")
    });
    let cache = cache();
    let mut options = options(&hub, &cache);
    options.token = Token::new("hf_secret").unwrap();
    let error = pull("hub:lab/model", &options).unwrap_err();
    assert_says(
        &error.to_string(),
        &["refused access to lab/model", "401", "Invalid credentials", "a token was sent"],
    );
    assert!(!format!("{error} {error:?}").contains("hf_secret"));
}

#[test]
fn says_which_of_repository_revision_and_file_is_missing() {
    let (hub, cache) = (usual_hub(), cache());
    let options = options(&hub, &cache);
    assert_says(
        &failing("hub:lab/other", &options),
        &["no repository lab/other", &hub.url, "private", "HF_TOKEN"],
    );
    assert_says(&failing("hub:lab/model@v9", &options), &["lab/model has no revision v9"]);
    assert_says(&failing("hub:lab/model/x.pt", &options), &["lab/model has no file x.pt"]);

    // Listed, yet not there: the hub's data disagree.
    let gone = closed(404, "EntryNotFound");
    let sentence = failing("hub:lab/model", &super::options(&gone, &cache));
    assert_says(&sentence, &["has no file config.yaml", COMMIT]);
}

#[test]
fn a_mirror_without_error_codes_is_understood() {
    let cache = cache();
    let hub = Server::start(|_| Reply::new(404));
    assert_says(&failing("hub:lab/model", &options(&hub, &cache)), &["no repository lab/model"]);
    let hub = closed(404, "");
    assert_says(&failing("hub:lab/model", &options(&hub, &cache)), &["no file config.yaml"]);
}

#[test]
fn a_busy_hub_is_asked_again_and_then_named() {
    for (status, words) in [(503, "status 503"), (429, "too many requests")] {
        let (hub, cache) = (Server::start(move |_| Reply::new(status)), cache());
        let mut options = options(&hub, &cache);
        options.retry.times = 2;
        assert_says(&failing("hub:lab/model", &options), &[words]);
        assert_eq!(hub.exchanges().len(), 3);
    }
    let (repository, count) = (Repository::usual(), std::sync::atomic::AtomicUsize::new(0));
    let hub = Server::start(move |request| {
        let count = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        if count % 2 == 0 { Reply::new(502) } else { repository.answer(request) }
    });
    let cache = cache();
    pull("hub:lab/model", &options(&hub, &cache)).unwrap();
}

#[test]
fn storage_that_refuses_is_named_without_its_signature() {
    let storage = Server::start(|_| Reply::new(403));
    let repository = Repository { storage: Some(storage.url.clone()), ..Repository::usual() };
    let (hub, cache) = (Server::start(move |request| repository.answer(request)), cache());
    let error = pull("hub:lab/model", &options(&hub, &cache)).unwrap_err();
    let host = storage.url.trim_start_matches("http://");
    assert_says(&error.to_string(), &[host, "status 403", "model.safetensors"]);
    assert!(!format!("{error} {error:?}").contains("secret-signature"));
}

#[test]
fn what_is_no_hub_is_told_apart() {
    let small = |headers: fn(Reply) -> Reply| {
        let held = |path| Held { path, content: b"x".to_vec(), large: false };
        let repository = Repository { files: vec![held("m.pt")], storage: None };
        Server::start(move |request| headers(repository.answer(request)))
    };
    let other = "e".repeat(40);
    let cases = [
        (
            Server::start(|_| Reply { body: b"<html>".to_vec(), ..Reply::new(200) }),
            vec!["file list as JSON"],
        ),
        (
            Server::start(|_| Reply {
                body: br#"{"sha":"../x","siblings":[]}"#.to_vec(),
                ..Reply::new(200)
            }),
            vec!["commit of 40 hexadecimal digits", "../x"],
        ),
        (Server::start(|_| Reply::new(302).with("Location", "/again")), vec!["redirects"]),
        (Server::start(|_| Reply::new(302).with("Location", "ftp://x/")), vec!["other than http"]),
        (small(|reply| reply.without("ETag")), vec!["sha256 or git sha1", "m.pt", "found \"\""]),
        (
            small(|reply| reply.without("ETag").with("ETag", "\"../../x\"")),
            vec!["sha256 or git sha1", "../../x"],
        ),
        (
            small(|reply| reply.without("X-Repo-Commit").with("X-Repo-Commit", "e".repeat(40))),
            vec![COMMIT, other.as_str()],
        ),
    ];
    for (hub, words) in cases {
        let cache = cache();
        let error = pull("hub:lab/model", &options(&hub, &cache)).unwrap_err();
        assert!(matches!(error, HubError::Protocol { .. }), "{error:?}");
        assert_says(
            &error.to_string(),
            &[hub.url.trim_start_matches("http://"), "does not answer as a hub"],
        );
        assert_says(&error.to_string(), &words);
    }
}
