//! `medparse serve`, `endpoint` and `keys` as their users meet them: the real program on a real port.
#![cfg(unix)]

mod azure;
mod server;

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use medparse_imaging::procedural;
use medparse_server::SAMPLE_REQUEST;
use serde_json::Value;

use server::{Place, Reply, exchange, request};

/// The masks of a reply's only row: sentences, height, width and the values.
fn masks(row: &Value) -> ([usize; 3], Vec<u8>) {
    let features: Value = serde_json::from_str(row["image_features"].as_str().unwrap()).unwrap();
    assert_eq!(features["dtype"], "uint8");
    let shape: [usize; 3] = serde_json::from_value(features["shape"].clone()).unwrap();
    let values = base64_simd::STANDARD.decode_to_vec(features["data"].as_str().unwrap()).unwrap();
    (shape, values)
}

fn check_sample(reply: &Value) {
    let row = &reply[0];
    let (shape, values) = masks(row);
    assert_eq!((shape, values.len()), ([2, 2, 2], 8));
    assert!(values.iter().all(|&value| value == 0 || value == 255), "{values:?}");
    let categories = row["text_features"].as_array().unwrap();
    assert_eq!(categories.len(), 2, "{row}");
}

#[test]
fn the_documented_request_is_answered_and_the_printed_line_works_as_pasted() {
    let place = Place::new();
    let server = place.serve(&[]);
    server.wait_ready();
    assert!(server.announcement.contains("nobody is asked"), "{}", server.announcement);

    // As the documentation's own client sends it: a line break in the base64, a blank after the text.
    let mut sample: Value = serde_json::from_str(SAMPLE_REQUEST).unwrap();
    let row = &mut sample["input_data"]["data"][0];
    let (image, text) = (row[0].as_str().unwrap(), row[1].as_str().unwrap());
    let (first, rest) = image.split_at(76);
    let (image, text) = (format!("{first}\n{rest}\n"), format!("{text} "));
    (row[0], row[1]) = (image.into(), text.into());
    let reply = server.post("/score", None, &sample.to_string());
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("azureml-model-deployment"), Some("default"));
    check_sample(&reply.json());

    paste(server.curl_line());
}

/// Runs a printed line as a shell does, and checks the answer.
#[expect(clippy::print_stderr, reason = "a skipped check is said aloud")]
fn paste(line: &str) {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("skipped: there is no curl to paste the printed line to");
        return;
    }
    let output = Command::new("sh").arg("-c").arg(line).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let reply: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {line}: {errors}"));
    check_sample(&reply);
}

#[test]
fn keys_open_the_door_until_they_are_revoked() {
    let place = Place::new();
    let server = place.serve(&["--auth"]);
    server.wait_ready();
    let score = |key: Option<&str>| server.post("/score", key, SAMPLE_REQUEST).status;
    assert_eq!(score(None), 401);
    assert_eq!(score(Some("wrong")), 401);

    // Secrets are fetched when the line runs, and are not in the output.
    let primary = place.run(&["keys", "show", "--only", "primary"]);
    assert!(!server.announcement.contains(&primary));
    assert_eq!(score(Some(&primary)), 200);
    paste(server.curl_line());

    let granted = place.json(&[
        "keys",
        "create",
        "--scope",
        "score",
        "--deployment",
        "default",
        "--expires",
        "90d",
        "--label",
        "ward 7",
        "--json",
    ]);
    let (key, id) = (granted["key"].as_str().unwrap(), granted["id"].as_str().unwrap());
    assert_eq!(score(Some(key)), 200);
    assert_eq!(server.get("/metrics", Some(key)).status, 403);
    let listed = place.json(&["keys", "list", "--json"]);
    assert_eq!((&listed[0]["id"], &listed[0]["label"]), (&granted["id"], &"ward 7".into()));
    let state = std::fs::read_to_string(place.path("state/state.json")).unwrap();
    assert!(!state.contains(key) && !state.contains(&primary), "keys are hashed at rest");

    let next = place.run(&["keys", "rotate", id, "--grace", "1h"]);
    assert_eq!([score(Some(key)), score(Some(&next))], [200, 200]);
    place.run(&["keys", "revoke", id]);
    assert_eq!([score(Some(key)), score(Some(&next))], [401, 401], "on the next request");

    for (flag, value, key) in [("--grace", "1h", "primary"), ("--endpoint", "medparse", id)] {
        let said = place.refusal(&["keys", "rotate", key, flag, value]);
        assert!(said.contains(flag), "{said}");
    }
    let rotated = place.run(&["keys", "rotate", "primary"]);
    assert_eq!([score(Some(&primary)), score(Some(&rotated))], [401, 200]);
    let metrics = place.run(&["keys", "create", "--scope", "metrics"]);
    assert_eq!(server.get("/metrics", Some(&metrics)).status, 200);
    assert_eq!(score(Some(&metrics)), 403);
    assert!(place.refusal(&["keys", "revoke", id]).contains("there is no key with the id"));
}

#[test]
fn keys_of_the_environment_stand_in_for_those_of_the_state() {
    let place = Place::new();
    let mut server =
        place.serve_with(&[], &[("MEDPARSE_KEYS", "first-key-of-two,second-key-of-two")]);
    server.wait_ready();
    let score = |key: Option<&str>| server.post("/score", key, SAMPLE_REQUEST).status;
    let primary = place.run(&["keys", "show", "--only", "primary"]);
    let keys = [None, Some("first-key-of-two"), Some("second-key-of-two"), Some(&*primary)];
    assert_eq!(keys.map(score), [401, 200, 200, 401]);
    assert!(server.end("-INT"), "Ctrl-C ends it well");

    let server = place.serve_with(&[], &[("MEDPARSE_AUTH", "1")]);
    server.wait_ready();
    assert_eq!(server.post("/score", Some(&*primary), SAMPLE_REQUEST).status, 200);
    assert_eq!(server.post("/score", None, SAMPLE_REQUEST).status, 401);
}

#[test]
fn a_running_server_follows_endpoints_and_traffic() {
    let place = Place::new();
    let server = place.serve(&[]);
    server.wait_ready();
    let answering = |path: &str| {
        let reply = server.post(path, None, SAMPLE_REQUEST);
        reply.header("azureml-model-deployment").map(ToOwned::to_owned).unwrap_or(reply.body)
    };
    place.run(&[
        "endpoint",
        "create",
        "medparse",
        "--deployment",
        "green",
        "--model",
        "bundled",
        "--threads",
        "1",
        "--expires-in",
        "168h",
    ]);
    assert_eq!(answering("/score"), "default", "a further deployment gets no traffic");
    let shifted = ["endpoint", "update", "medparse", "--traffic", "default=0,green=100"];
    let view = place.run(&shifted);
    assert!(view.contains("default 0%, green 100%"), "{view}");
    server.wait_for("the shifted traffic", || answering("/score") == "green");

    let yaml = "name: ward7\ntraffic: {blue: 100}\ndeployments:\n  blue: {model: bundled}\n";
    std::fs::write(place.path("ward7.yaml"), yaml).unwrap();
    let made = place.json(&["endpoint", "create", "-f", "ward7.yaml", "--json"]);
    assert_eq!(made["scoring_path"], "/endpoints/ward7/score");
    server.wait_for("the endpoint of a file", || answering("/endpoints/ward7/score") == "blue");
    assert_eq!(place.run(&["endpoint", "list"]).lines().count(), 2);
    assert_eq!(place.json(&["endpoint", "show", "ward7", "--json"])["auth_mode"], "key");

    place.run(&["endpoint", "delete", "ward7"]);
    assert_eq!(server.post("/endpoints/ward7/score", None, SAMPLE_REQUEST).status, 404);
    for (arguments, part) in [
        (&["endpoint", "show", "ward7"][..], "there is no endpoint named \"ward7\""),
        (&["endpoint", "delete", "medparse", "--deployment", "green"], "gets 100 percent"),
        (&["endpoint", "update", "medparse", "--traffic", "green=50"], "add up to 50"),
        (&["endpoint", "create", "medparse"], "already; change it with `update`"),
        (&["endpoint", "create", "x", "--model", "no.pt"], "no.pt"),
    ] {
        let said = place.refusal(arguments);
        assert!(said.contains(part), "{arguments:?}: {said}");
    }
}

#[test]
fn a_stop_finishes_what_was_accepted() {
    let place = Place::new();
    let mut server = place.serve(&[]);
    server.wait_ready();
    let picture = place.path("cells.png");
    procedural::cells(96, 64, 3).unwrap().picture.save_png(&picture).unwrap();
    let body = request(&picture, "neoplastic cells & inflammatory cells");
    let answered = AtomicUsize::new(0);
    let replies: Vec<Reply> = std::thread::scope(|scope| {
        let (body, address, answered) = (&body, &server.address, &answered);
        let clients: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(move || {
                    let mut replies = Vec::new();
                    // A client asks until it finds the door closed.
                    while let Some(reply) = exchange(address, "POST", "/score", None, body) {
                        replies.push(reply);
                        answered.fetch_add(1, Ordering::SeqCst);
                    }
                    replies
                })
            })
            .collect();
        server.wait_for("load", || answered.load(Ordering::SeqCst) >= 12);
        server.signal("-TERM");
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    assert!(server.child.wait().unwrap().success(), "{}", server.log());
    for reply in &replies {
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(masks(&reply.json()[0]).0, [2, 64, 96]);
    }
}

#[test]
fn after_a_kill_the_state_is_whole_and_the_server_ready() {
    let place = Place::new();
    let mut server = place.serve(&["--auth"]);
    server.wait_ready();
    let key = place.run(&["keys", "create", "--scope", "score"]);
    place.run(&["endpoint", "create", "ward7", "--model", "bundled"]);
    let before = place.json(&["endpoint", "list", "--json"]);
    assert_eq!(server.post("/score", Some(&key), SAMPLE_REQUEST).status, 200);
    assert!(!server.end("-KILL"));

    let mut server = place.serve(&["--auth"]);
    server.wait_ready();
    assert_eq!(server.post("/score", Some(&key), SAMPLE_REQUEST).status, 200);
    assert_eq!(place.json(&["endpoint", "list", "--json"]), before);
    server.wait_for("the other endpoint", || {
        server.post("/endpoints/ward7/score", Some(&key), SAMPLE_REQUEST).status == 200
    });
    assert!(server.end("-TERM"));
}

#[test]
fn azures_clients_are_told_where_everything_is() {
    let place = Place::new();
    let server = place.serve(&["--azure", "--bare"]);
    for line in server.announcement.lines() {
        assert!(line.starts_with("export "), "a shell sources this: {line}");
    }
    for name in ["AZUREML_DEV_URL_MFE=https://", "IDENTITY_ENDPOINT=https://", "IDENTITY_HEADER="] {
        assert!(server.announcement.contains(name), "{}", server.announcement);
    }
    assert!(server.log().contains("scoring URI  https://127.0.0.1:"), "{}", server.log());
    let config = std::fs::read_to_string(place.path("config.json")).unwrap();
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["workspace_name"], "medparse");
    let list = place.run(&["endpoint", "list"]);
    assert_eq!(list, "", "a bare server has no endpoint");
}

#[test]
fn what_cannot_be_served_is_said_before_anything_runs() {
    let place = Place::new();
    let said = place.refusal(&["serve", "--port", "0", "--model", "no.pt"]);
    assert!(said.contains("--model no.pt"), "{said}");
    let blocked = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = blocked.local_addr().unwrap().port().to_string();
    let said = place.refusal(&["serve", "--port", &port]);
    assert!(said.contains("cannot listen on 127.0.0.1"), "{said}");
    std::fs::write(place.path("state/state.json"), "{").unwrap();
    let said = place.refusal(&["serve", "--port", "0"]);
    assert!(said.contains("is not a state file of this program"), "{said}");
}

#[test]
fn a_key_s_requests_are_counted_and_on_record() {
    let place = Place::new();
    let mut server = place.serve(&["--auth", "--rate", "1000/h", "--audit", "audit.jsonl"]);
    server.wait_ready();
    let grant = ["keys", "create", "--scope", "score", "--rate", "2/h", "--json"];
    let granted = place.json(&grant);
    let key = granted["key"].as_str().unwrap();
    assert!(place.run(&["keys", "list"]).contains("at most 2/h"));
    let score = || server.post("/score", Some(key), SAMPLE_REQUEST);
    assert_eq!([score().status, score().status], [200, 200]);
    let refused = score();
    assert_eq!(refused.status, 429);
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    assert!(server.end("-TERM"));
    // Whoever was answered is on record when the server has ended.
    let record = std::fs::read_to_string(place.path("audit.jsonl")).unwrap();
    let lines: Vec<Value> =
        record.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let who = format!("key:{}", granted["id"].as_str().unwrap());
    let status = |line: &Value| line["status"].as_u64().unwrap();
    assert_eq!(lines.iter().map(status).collect::<Vec<_>>(), [200, 200, 429]);
    assert!(
        lines.iter().all(|line| line["who"] == *who && line["peer"] == "127.0.0.1"),
        "{record}"
    );
    for (wrong, part) in [
        (&["--rate", "10"][..], "is not a rate"),
        (&["--client-ca", "ca.pem"], "--tls-cert"),
        (&["--audit", "absent/audit.jsonl"], "cannot write the audit log"),
    ] {
        let output = place.program(&["serve", "--port", "0"]).args(wrong).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(part), "{wrong:?}: {said}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_server_binds_itself_before_it_answers() {
    let place = Place::new();
    let mut server = place.serve(&[]);
    server.wait_ready();
    assert_eq!(server.post("/score", None, SAMPLE_REQUEST).status, 200);
    let log = server.log();
    assert!(log.contains("confined"), "{log}");
    let scratch = || {
        let entries = std::fs::read_dir(place.path("state")).unwrap().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("scratch-")).count()
    };
    assert_eq!(scratch(), 1);
    // A model of the hub that comes later is refused with what would let it be fetched.
    if log.contains("confined by the kernel") && !log.contains("in part") {
        let create = ["endpoint", "create", "medparse", "--deployment", "far", "--model"];
        place.run(&[&create[..], &["hub:owner/absent"]].concat());
        server
            .wait_for("the refusal", || server.log().contains("this server opens no connections"));
        assert_eq!(server.post("/score", None, SAMPLE_REQUEST).status, 200);
    }
    assert!(server.end("-TERM"));
    assert_eq!(scratch(), 0);
}

#[test]
fn certificates_are_taken_from_files() {
    let place = Place::new();
    // The local authority's own pair is a pair like any other.
    drop(place.serve(&["--azure", "--bare"]));
    let pair = ["--tls-cert", "state/ca.pem", "--tls-key", "state/ca.key"];
    let server = place.serve(&[&pair[..], &["--client-ca", "state/ca.pem"]].concat());
    assert!(server.announcement.contains("scoring URI  https://"), "{}", server.announcement);
    let said =
        place.refusal(&["serve", "--port", "0", "--tls-cert", "state/ca.pem", "--tls-key", "log"]);
    assert!(said.contains("cannot read") && said.contains("log"), "{said}");
}

#[test]
fn two_endpoints_are_compared_on_the_same_requests() {
    let place = Place::new();
    let server = place.serve(&[]);
    server.wait_ready();
    let requests = place.path("requests");
    std::fs::create_dir(&requests).unwrap();
    std::fs::write(requests.join("a.json"), SAMPLE_REQUEST).unwrap();
    let url = server.announcement.split_whitespace().find(|word| word.ends_with("/score")).unwrap();
    let requests = requests.to_str().unwrap();
    let report = place.json(&["compare", url, url, requests, "--json"]);
    assert_eq!((&report["alike"], &report["masks"]), (&true.into(), &2.into()), "{report}");
    assert_eq!((&report["mean_dice"], &report["equal_categories"]), (&1.0.into(), &1.0.into()));

    // What one endpoint refuses is a failure, and the endpoints are not alike.
    std::fs::write(place.path("requests/b.json"), "{}").unwrap();
    let refusal = place.refusal(&["compare", url, url, requests]);
    assert!(refusal.contains("b.json: the old endpoint: answered 400: "), "{refusal}");
}
