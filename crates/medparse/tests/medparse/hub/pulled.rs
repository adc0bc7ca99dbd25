//! What a pull that succeeds asks for, sends and leaves on the disk.

use std::fs;
use std::path::Path;

use medparse::sources::hub::{self, Token};

use super::fake::{COMMIT, Held, Repository, Server, git_sha1, ranged, sha256, weights};
use super::{assert_says, cache, failing, options, pull, pull_telling, reference, usual_hub};

#[test]
fn fetches_the_model_and_its_configuration_into_pythons_layout() {
    let (hub, cache) = (usual_hub(), cache());
    let (pulled, told) = pull_telling("hub:lab/model", &options(&hub, &cache));
    let pulled = pulled.unwrap();

    let folder = cache.path().join("models--lab--model");
    let snapshot = folder.join("snapshots").join(COMMIT);
    assert_eq!(pulled.weights, snapshot.join("model.safetensors"));
    assert_eq!(pulled.config, Some(snapshot.join("config.yaml")));
    assert_eq!(pulled.commit, COMMIT);
    assert_eq!(fs::read(&pulled.weights).unwrap(), weights());
    assert_eq!(fs::read(snapshot.join("config.yaml")).unwrap(), b"DIM: 8\n");
    assert_eq!(fs::read_to_string(folder.join("refs/main")).unwrap(), COMMIT);
    let sum = sha256(&weights());
    assert_eq!(fs::read(folder.join("blobs").join(&sum)).unwrap(), weights());
    assert!(folder.join("blobs").join(git_sha1(b"DIM: 8\n")).is_file());
    assert!(cache.path().join(format!(".locks/models--lab--model/{sum}.lock")).is_file());
    #[cfg(unix)]
    assert_eq!(fs::read_link(&pulled.weights).unwrap(), Path::new("../../blobs").join(&sum));
    assert!(
        !snapshot.join("README.md").exists(),
        "only the model and its configuration are fetched"
    );

    assert!(
        told.first().unwrap().contains("Started { file: \"config.yaml\", size: 7, resumed: 0 }"),
        "{told:?}"
    );
    assert!(
        told.contains(
            &"Received { file: \"model.safetensors\", received: 300007, size: 300007 }".into()
        ),
        "{told:?}"
    );
    assert_eq!(told.last().unwrap(), "Finished { file: \"model.safetensors\", size: 300007 }");
    let agent = hub.exchanges()[0].request.header("user-agent").unwrap().to_owned();
    assert!(agent.starts_with("medparse/"), "{agent}");
}

#[test]
#[cfg(unix)]
fn files_in_folders_link_back_from_their_depth() {
    let repository = Repository {
        files: vec![
            Held { path: "w/deep/m.pt", content: weights(), large: true },
            Held { path: "w/deep/m.yaml", content: b"A: 1\n".to_vec(), large: false },
        ],
        storage: None,
    };
    let (hub, cache) = (Server::start(move |request| repository.answer(request)), cache());
    let pulled = pull("hub:lab/model/w/deep/m.pt", &options(&hub, &cache)).unwrap();
    assert!(fs::read_link(&pulled.weights).unwrap().starts_with("../../../../blobs"));
    assert_eq!(fs::read(&pulled.weights).unwrap(), weights());
    assert_eq!(fs::read(pulled.config.unwrap()).unwrap(), b"A: 1\n");
}

#[test]
fn the_token_goes_to_the_hub_and_to_no_other_host() {
    let storage = Server::start(|request| ranged(&weights(), request));
    let repository = Repository { storage: Some(storage.url.clone()), ..Repository::usual() };
    let (hub, cache) = (Server::start(move |request| repository.answer(request)), cache());
    let mut options = options(&hub, &cache);
    options.token = Token::new("hf_secret").unwrap();
    let pulled = pull("hub:lab/model", &options).unwrap();
    assert_eq!(fs::read(pulled.weights).unwrap(), weights());

    assert!(hub.exchanges().len() >= 4);
    for exchange in hub.exchanges() {
        assert_eq!(
            exchange.request.header("authorization"),
            Some("Bearer hf_secret"),
            "{exchange:?}"
        );
    }
    let at_storage = storage.asked("GET", "/lfs/");
    assert_eq!(at_storage.len(), 1);
    assert!(at_storage[0].request.target.contains("Signature=secret-signature"));
    assert_eq!(at_storage[0].request.header("authorization"), None);
}

#[test]
fn without_a_token_none_is_sent() {
    let (hub, cache) = (usual_hub(), cache());
    pull("hub:lab/model", &options(&hub, &cache)).unwrap();
    assert!(
        hub.exchanges().iter().all(|exchange| exchange.request.header("authorization").is_none())
    );
}

#[test]
fn a_renamed_repository_is_followed_on_the_same_host_with_the_token() {
    let repository = Repository::usual();
    let hub = Server::start(move |request| {
        if request.target.contains("/old/model") {
            let target = request.target.replace("/old/model", "/lab/model");
            return super::fake::Reply::new(307).with("Location", target);
        }
        repository.answer(request)
    });
    let cache = cache();
    let mut options = options(&hub, &cache);
    options.token = Token::new("hf_secret").unwrap();
    let pulled = pull("hub:old/model", &options).unwrap();
    assert_eq!(fs::read(pulled.weights).unwrap(), weights());
    assert!(
        hub.exchanges().iter().all(|exchange| exchange.request.header("authorization").is_some())
    );
}

#[test]
fn a_second_pull_transfers_no_file_again() {
    let (hub, cache) = (usual_hub(), cache());
    let options = options(&hub, &cache);
    let first = pull("hub:lab/model", &options).unwrap();
    let (second, told) = pull_telling("hub:lab/model", &options);
    assert_eq!(second.unwrap(), first);
    assert_eq!(
        hub.asked("GET", "/resolve/").len(),
        2,
        "the model and its configuration, once each"
    );
    assert_eq!(told.last().unwrap(), "Cached { file: \"model.safetensors\", size: 300007 }");
}

#[test]
fn a_new_commit_with_the_same_file_reuses_its_bytes() {
    let (hub, cache) = (usual_hub(), cache());
    pull("hub:lab/model", &options(&hub, &cache)).unwrap();
    let later = "f".repeat(40);
    let moved = {
        let (repository, later) = (Repository::usual(), later.clone());
        Server::start(move |request| {
            let mut request = request.clone();
            request.target = request.target.replace(&later, COMMIT);
            let mut reply = repository.answer(&request);
            reply.body = String::from_utf8(reply.body.clone())
                .map_or(reply.body, |text| text.replace(COMMIT, &later).into_bytes());
            reply.without("X-Repo-Commit").with("X-Repo-Commit", &later)
        })
    };
    let pulled = pull("hub:lab/model", &options(&moved, &cache)).unwrap();
    assert_eq!(pulled.commit, later);
    assert_eq!(fs::read(pulled.weights).unwrap(), weights());
    assert!(moved.asked("GET", "/resolve/").is_empty());
    assert_eq!(
        fs::read_to_string(cache.path().join("models--lab--model/refs/main")).unwrap(),
        later
    );
}

#[test]
fn a_revision_is_pinned_to_its_commit() {
    let (hub, cache) = (usual_hub(), cache());
    let options = options(&hub, &cache);
    assert_eq!(pull("hub:lab/model@v1", &options).unwrap().commit, COMMIT);
    assert_eq!(hub.asked("GET", "/api/models/lab/model/revision/v1").len(), 1);
    assert_eq!(hub.asked("GET", "/resolve/").len(), 2);
    assert_eq!(
        hub.asked("GET", &format!("/resolve/{COMMIT}/")).len(),
        2,
        "files are asked for by commit"
    );
    let refs = cache.path().join("models--lab--model/refs");
    assert_eq!(fs::read_to_string(refs.join("v1")).unwrap(), COMMIT);
    pull(&format!("hub:lab/model@{COMMIT}"), &options).unwrap();
    assert!(!refs.join(COMMIT).exists(), "a commit needs no reference to itself");
}

#[test]
fn names_the_candidates_where_there_are_several() {
    let held = |path| Held { path, content: b"x".to_vec(), large: false };
    let repository =
        Repository { files: vec![held("a.pt"), held("b.pt"), held("notes.txt")], storage: None };
    let (hub, cache) = (Server::start(move |request| repository.answer(request)), cache());
    let options = options(&hub, &cache);
    assert_says(
        &failing("hub:lab/model", &options),
        &["2 model files", "hub:lab/model/a.pt", "a.pt, b.pt"],
    );
    assert_says(
        &failing("hub:lab/model/c.pt", &options),
        &["no file c.pt at revision main", "notes.txt"],
    );
    assert!(pull("hub:lab/model/b.pt", &options).unwrap().weights.ends_with("b.pt"));
}

#[test]
fn a_hostile_file_list_cannot_lead_out_of_the_cache() {
    let held = |path| Held { path, content: b"x".to_vec(), large: false };
    let repository = Repository {
        files: vec![held("../../../../evil.pt"), held("/etc/evil.pt")],
        storage: None,
    };
    let (hub, cache) = (Server::start(move |request| repository.answer(request)), cache());
    assert_says(&failing("hub:lab/model", &options(&hub, &cache)), &["no model file"]);
    assert!(hub.asked("HEAD", "").is_empty());
}

#[test]
fn finds_what_python_left_without_a_connection() {
    let (hub, cache) = (usual_hub(), cache());
    let folder = cache.path().join("models--lab--model");
    let snapshot = folder.join("snapshots").join(COMMIT);
    for part in ["blobs", "refs"] {
        fs::create_dir_all(folder.join(part)).unwrap();
    }
    fs::create_dir_all(&snapshot).unwrap();
    let sum = sha256(&weights());
    fs::write(folder.join("blobs").join(&sum), weights()).unwrap();
    fs::write(folder.join("refs/main"), COMMIT).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(
        Path::new("../../blobs").join(&sum),
        snapshot.join("model.safetensors"),
    )
    .unwrap();
    #[cfg(not(unix))]
    fs::copy(folder.join("blobs").join(&sum), snapshot.join("model.safetensors")).unwrap();

    let options = options(&hub, &cache);
    let found = hub::cached(&reference("hub:lab/model"), &options).unwrap();
    assert_eq!(fs::read(&found.weights).unwrap(), weights());
    assert_eq!(found.config, None);
    assert!(hub.exchanges().is_empty());

    let pulled = pull("hub:lab/model", &options).unwrap();
    assert_eq!(pulled.weights, found.weights);
    assert!(pulled.config.is_some());
    assert!(
        hub.asked("GET", "model.safetensors").is_empty(),
        "what Python fetched is not fetched again"
    );
}
