//! No network, a proxy, an unknown certificate.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use medparse::sources::hub::{Access, HubError, Proxies, Token};

use super::fake::{Reply, Repository, Server, weights};
use super::{assert_says, cache, failing, options, pull, usual_hub};

/// An address on which nothing listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[test]
fn offline_finds_the_cache_and_opens_no_connection() {
    let (hub, cache) = (usual_hub(), cache());
    let mut options = options(&hub, &cache);
    options.access = Access::Offline;
    let sentence = failing("hub:lab/model", &options);
    let folder = cache.path().to_str().unwrap();
    assert_says(
        &sentence,
        &["hub:lab/model is not in the cache", folder, "without HF_HUB_OFFLINE"],
    );
    assert!(hub.exchanges().is_empty());

    options.access = Access::Online;
    let online = pull("hub:lab/model", &options).unwrap();
    let asked = hub.exchanges().len();
    options.access = Access::Offline;
    assert_eq!(pull("hub:lab/model", &options).unwrap(), online);
    assert_eq!(pull("hub:lab/model/model.safetensors", &options).unwrap(), online);
    assert_eq!(pull(&format!("hub:lab/model@{}", online.commit), &options).unwrap(), online);
    for missing in ["hub:lab/model@v1", "hub:lab/model/other.pt", "hub:lab/other"] {
        assert_says(&failing(missing, &options), &[missing, "not in the cache"]);
    }
    assert_eq!(hub.exchanges().len(), asked);
}

#[test]
fn a_hub_that_is_not_there_says_so() {
    let (hub, cache) = (usual_hub(), cache());
    let mut options = options(&hub, &cache);
    let address = nobody();
    options.endpoint = format!("http://{address}");
    assert_says(&failing("hub:lab/model", &options), &[&address, "refused the connection"]);
    options.endpoint = "http://no-such-host.invalid".into();
    assert_says(
        &failing("hub:lab/model", &options),
        &["no-such-host.invalid cannot be reached", "HF_HUB_OFFLINE=1"],
    );
    options.endpoint = "huggingface.co".into();
    assert_says(&failing("hub:lab/model", &options), &["HF_ENDPOINT", "https://huggingface.co"]);
}

#[test]
fn a_hub_that_never_answers_is_given_up() {
    let delay = Duration::from_secs(20);
    let (hub, cache) = (Server::start(move |_| Reply { delay, ..Reply::new(200) }), cache());
    let mut options = options(&hub, &cache);
    options.timeouts.response = Duration::from_millis(200);
    let error = pull("hub:lab/model", &options).unwrap_err();
    assert!(matches!(error, HubError::TimedOut { .. }), "{error:?}");
    assert_says(
        &error.to_string(),
        &[hub.url.trim_start_matches("http://"), "did not answer in time"],
    );
}

/// A proxy that tunnels after `CONNECT`, with the first lines it saw.
fn proxy() -> (String, Arc<Mutex<Vec<Vec<String>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let log = Arc::clone(&log);
            thread::spawn(move || tunnel(client, &log));
        }
    });
    (address, seen)
}

fn tunnel(mut client: TcpStream, log: &Mutex<Vec<Vec<String>>>) -> io::Result<()> {
    let reader = BufReader::new(client.try_clone()?);
    let lines: Vec<String> =
        reader.lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let target =
        lines.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default().to_owned();
    log.lock().unwrap().push(lines);
    let Ok(mut server) = TcpStream::connect(&target) else {
        return client.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n");
    };
    client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n")?;
    let (mut upwards, mut server_end) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || io::copy(&mut upwards, &mut server_end));
    io::copy(&mut server, &mut client).map(drop)
}

#[test]
fn a_proxy_of_the_environment_is_used_and_given_its_password_alone() {
    let (hub, cache) = (usual_hub(), cache());
    let (address, seen) = proxy();
    let environment =
        |name: &str| (name == "HTTP_PROXY").then(|| format!("http://me:proxy-secret@{address}"));
    let mut options = options(&hub, &cache);
    options.token = Token::new("hf_secret").unwrap();
    options.proxies = Proxies::from_variables(&environment).unwrap();
    let pulled = pull("hub:lab/model", &options).unwrap();
    assert_eq!(fs::read(pulled.weights).unwrap(), weights());
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), hub.exchanges().len(), "every connection went through the proxy");
    for lines in seen.iter() {
        assert!(
            lines[0].starts_with(&format!("CONNECT {} ", hub.url.trim_start_matches("http://"))),
            "{lines:?}"
        );
        // base64 of me:proxy-secret
        assert!(lines.iter().any(|line| line.ends_with("Basic bWU6cHJveHktc2VjcmV0")), "{lines:?}");
        assert!(!lines.iter().any(|line| line.contains("hf_secret")), "{lines:?}");
    }
    assert!(!format!("{options:?}").contains("proxy-secret"));
}

#[test]
fn no_proxy_goes_around_it() {
    let (hub, cache) = (usual_hub(), cache());
    let (address, seen) = proxy();
    let environment = |name: &str| match name {
        "ALL_PROXY" => Some(format!("http://{address}")),
        "NO_PROXY" => Some("example.org,127.0.0.1".to_owned()),
        _ => None,
    };
    let mut options = options(&hub, &cache);
    options.proxies = Proxies::from_variables(&environment).unwrap();
    pull("hub:lab/model", &options).unwrap();
    assert!(seen.lock().unwrap().is_empty());
}

#[test]
fn a_proxy_that_fails_is_named_without_its_password() {
    let (hub, cache) = (usual_hub(), cache());
    let mut options = options(&hub, &cache);
    let dead = nobody();
    let through = |proxy: &str| {
        let proxy = format!("http://me:proxy-secret@{proxy}");
        Proxies::from_variables(&move |name| (name == "HTTP_PROXY").then(|| proxy.clone())).unwrap()
    };
    options.proxies = through(&dead);
    let sentence = failing("hub:lab/model", &options);
    assert_says(&sentence, &[&format!("the proxy {dead} refused the connection")]);
    let (address, _) = proxy();
    options.proxies = through(&address);
    let target = nobody();
    options.endpoint = format!("http://{target}");
    let error = pull("hub:lab/model", &options).unwrap_err();
    assert_says(
        &error.to_string(),
        &[&format!("the proxy {address} would not connect to {target}")],
    );
    assert!(!format!("{sentence} {error} {error:?}").contains("proxy-secret"));
}

#[test]
fn a_certificate_is_trusted_only_where_its_authority_was_given() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(vec![made.cert.der().clone()], key)
    .unwrap();
    let repository = Repository::usual();
    let hub = Server::start_tls(Arc::new(config), move |request| repository.answer(request));
    let cache = cache();
    let mut options = options(&hub, &cache);
    let error = pull("hub:lab/model", &options).unwrap_err();
    assert!(matches!(error, HubError::Untrusted { .. }), "{error:?}");
    assert_says(&error.to_string(), &["no trusted connection to localhost", "SSL_CERT_FILE"]);

    let authorities = cache.path().join("authorities.pem");
    fs::write(&authorities, made.cert.pem()).unwrap();
    options.authorities = Some(authorities.clone());
    assert_eq!(fs::read(pull("hub:lab/model", &options).unwrap().weights).unwrap(), weights());

    fs::write(&authorities, "no certificate").unwrap();
    assert_says(
        &failing("hub:lab/model", &options),
        &["SSL_CERT_FILE", "authorities.pem", "holds no certificate"],
    );
    fs::remove_file(&authorities).unwrap();
    assert_says(
        &failing("hub:lab/model", &options),
        &["cannot read the certificates in", "authorities.pem"],
    );
}
