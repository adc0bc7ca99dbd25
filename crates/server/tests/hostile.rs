//! Hostile input over real sockets: each is answered with a 4xx or cut off, and healthy requests go on meanwhile.

mod common;

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use common::{TestServer, picture, score_body};
use flate2::{Compression, Crc, write::ZlibEncoder};
use medparse_server::{Access, Capacity, Server, ServerConfig, Timeouts};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(30);

async fn serve(timeouts: Timeouts, capacity: Capacity) -> (SocketAddr, TestServer) {
    let config =
        ServerConfig { access: Access::Open, timeouts, capacity, ..ServerConfig::default() };
    let server = TestServer::with(config, Duration::ZERO).await;
    let listening =
        Server::bind(([127, 0, 0, 1], 0).into(), server.state.clone(), None).await.unwrap();
    let address = listening.address();
    tokio::spawn(listening.run(std::future::pending()));
    (address, server)
}

fn head(length: usize) -> String {
    format!(
        "POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n\
         Content-Length: {length}\r\n\r\n"
    )
}

/// Sends bytes and reads until the server closes.
async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // A server that answers early may close before all is written.
        let _ = stream.write_all(bytes).await;
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply).await;
        String::from_utf8_lossy(&reply).into_owned()
    };
    timeout(PATIENCE, exchange).await.expect("an answer, or the end of the connection")
}

async fn post(address: SocketAddr, body: &[u8]) -> String {
    exchange(address, &[head(body.len()).as_bytes(), body].concat()).await
}

fn status(reply: &str) -> u16 {
    reply.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut crc = Crc::new();
    crc.update(kind);
    crc.update(data);
    [&u32::try_from(data.len()).unwrap().to_be_bytes()[..], kind, data, &crc.sum().to_be_bytes()]
        .concat()
}

/// A PNG of about 20 kB whose header claims 40,000 × 40,000 pixels.
fn bomb() -> Vec<u8> {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
    zlib.write_all(&vec![0; 20 << 20]).unwrap();
    let header =
        [&40_000u32.to_be_bytes()[..], &40_000u32.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    let parts = [
        b"\x89PNG\r\n\x1a\n".to_vec(),
        chunk(b"IHDR", &header),
        chunk(b"IDAT", &zlib.finish().unwrap()),
        chunk(b"IEND", b""),
    ];
    parts.concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_broken_request_is_answered_with_a_4xx() {
    let (address, _server) = serve(Timeouts::default(), Capacity::default()).await;
    let (_, png) = picture(64, 64, 1);
    let bomb = bomb();
    assert!(bomb.len() < 25_000, "{} bytes", bomb.len());
    let base64 = |bytes: &[u8]| base64_simd::STANDARD.encode_to_string(bytes);
    let file = base64_simd::STANDARD.decode_to_vec(&png).unwrap();
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let row = |image: Value, text: Value| {
        json!({"input_data": {"columns": ["image", "text"], "index": [0], "data": [[image, text]]}})
            .to_string()
    };
    let mut cases: Vec<(String, Vec<u8>, u16)> = vec![
        ("a bomb".into(), row(base64(&bomb).into(), "a".into()).into(), 413),
        ("nothing".into(), Vec::new(), 400),
        ("NaN".into(), b"{\"input_data\": NaN}".to_vec(), 400),
        ("wrong UTF-8".into(), b"{\"input_data\": \"\xff\xfe\"}".to_vec(), 400),
        ("deep".into(), deep(1_000_000).into(), 400),
        ("deep in params".into(), format!("{{\"params\": {}}}", deep(1_000_000)).into(), 400),
        ("nulls".into(), row(Value::Null, Value::Null).into(), 422),
        (
            "wrong columns".into(),
            br#"{"input_data": {"columns": ["x"], "data": []}}"#.to_vec(),
            400,
        ),
        ("257 rows".into(), score_body(&vec![(png.as_str(), "a"); 257]).to_string().into(), 413),
        (
            "10,000 prompts".into(),
            row(png.clone().into(), vec!["a"; 10_000].join("&").into()).into(),
            413,
        ),
        (
            "a million sentences".into(),
            row(png.clone().into(), "&".repeat(1_000_000).into()).into(),
            413,
        ),
        ("not base64".into(), row("%%%%".into(), "a".into()).into(), 422),
        ("not a picture".into(), row(base64(&[7; 5000]).into(), "a".into()).into(), 422),
        ("33 MB".into(), vec![b' '; 33 << 20], 413),
        ("many keys".into(), format!("{{{}\"a\": 1}}", "\"a\": 1,".repeat(1_000_000)).into(), 400),
    ];
    for length in (8..file.len()).step_by(file.len() / 12) {
        cases.push((
            format!("cut at {length}"),
            row(base64(&file[..length]).into(), "a".into()).into(),
            422,
        ));
    }
    for (name, body, expected) in cases {
        let reply = post(address, &body).await;
        assert_eq!(status(&reply), expected, "{name}: {reply}");
        assert!(reply.contains("\"error\":{\"code\":"), "{name}: {reply}");
    }
    assert_eq!(status(&post(address, row(png.into(), "a".into()).as_bytes()).await), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_byte_of_a_picture_may_be_wrong() {
    let (address, server) = serve(Timeouts::default(), Capacity::default()).await;
    let (_, png) = picture(24, 24, 1);
    let file = base64_simd::STANDARD.decode_to_vec(&png).unwrap();
    for at in (0..file.len()).step_by(7) {
        let mut broken = file.clone();
        broken[at] ^= 0x55;
        let body = score_body(&[(&base64_simd::STANDARD.encode_to_string(&broken), "a")]);
        let reply = server.post("/score", &body).await;
        assert!([200, 413, 422].contains(&reply.status.as_u16()), "byte {at}: {}", reply.text());
    }
    assert_eq!(
        status(&post(address, score_body(&[(&png, "a")]).to_string().as_bytes()).await),
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_claims_too_much_is_refused_before_it_is_sent() {
    let (address, _server) = serve(Timeouts::default(), Capacity::default()).await;
    let reply = exchange(address, head(1 << 40).as_bytes()).await;
    assert_eq!(status(&reply), 413, "{reply}");
    assert!(reply.to_ascii_lowercase().contains("connection: close"));
    let head = "POST /score HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    let endless = format!("{head}{}", format!("10000\r\n{}\r\n", " ".repeat(0x10000)).repeat(600));
    let reply = exchange(address, endless.as_bytes()).await;
    assert!(reply.is_empty() || status(&reply) == 413, "{reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_refused_while_it_sends_still_reads_why() {
    let config = ServerConfig { access: Access::Keys, ..ServerConfig::default() };
    let server = TestServer::with(config, Duration::ZERO).await;
    let listening =
        Server::bind(([127, 0, 0, 1], 0).into(), server.state.clone(), None).await.unwrap();
    let address = listening.address();
    tokio::spawn(listening.run(std::future::pending()));
    let body = vec![b' '; 16 << 20];
    for _ in 0..5 {
        let reply = post(address, &body).await;
        assert_eq!(status(&reply), 401, "{reply}");
        assert!(reply.contains("this route needs the header Authorization"), "{reply}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_idle_clients_are_cut_off_while_healthy_ones_are_answered() {
    let brief = Duration::from_millis(500);
    let timeouts =
        Timeouts { head: brief, body_stall: brief, body: 4 * brief, ..Timeouts::default() };
    let (address, _server) = serve(timeouts, Capacity::default()).await;
    let (_, png) = picture(64, 64, 1);
    let body = score_body(&[(&png, "a")]).to_string();
    let slow = (0..200).map(|at| {
        let head = head(body.len());
        tokio::spawn(async move {
            let start: &[u8] = match at % 4 {
                // Says nothing at all, half a head, a head without its body, and a head of one byte at a time.
                0 | 3 => b"",
                1 => &head.as_bytes()[..40],
                _ => head.as_bytes(),
            };
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(start).await.unwrap();
            let mut reply = Vec::new();
            let drip = async {
                for byte in head.as_bytes().iter().filter(|_| at % 4 == 3) {
                    if stream.write_all(&[*byte]).await.is_err() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                let _ = stream.read_to_end(&mut reply).await;
            };
            timeout(PATIENCE, drip).await.expect("the server closes the connection");
            (at % 4, String::from_utf8_lossy(&reply).into_owned())
        })
    });
    let slow: Vec<_> = slow.collect();
    for _ in 0..50 {
        assert_eq!(status(&post(address, body.as_bytes()).await), 200);
    }
    for client in slow {
        let (kind, reply) = client.await.unwrap();
        match kind {
            2 => {
                assert_eq!(status(&reply), 503, "{reply}");
                assert!(
                    reply.contains("the body arrived too slowly: nothing came for too long"),
                    "{reply}"
                );
            }
            _ => assert!(!reply.contains(" 200 "), "{reply}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stops_reading_is_cut_off_and_frees_its_place() {
    let timeouts = Timeouts { write_stall: Duration::from_millis(300), ..Timeouts::default() };
    let capacity = Capacity { slots: 1, waiting: 0, decoders: 1 };
    let (address, _server) = serve(timeouts, capacity).await;
    let (_, png) = picture(2000, 2000, 1);
    let text = vec!["a"; 20].join("&");
    let body = score_body(&[(&png, &text)]).to_string();
    let mut stuck = TcpStream::connect(address).await.unwrap();
    stuck.write_all(&[head(body.len()).as_bytes(), body.as_bytes()].concat()).await.unwrap();
    let (_, small) = picture(8, 8, 1);
    let small = score_body(&[(&small, "a")]).to_string();
    let answered = async {
        while status(&post(address, small.as_bytes()).await) != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, answered).await.expect("the place is free again");
    drop(stuck);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_closes_its_connection_stops_the_model() {
    let config = ServerConfig { access: Access::Open, ..ServerConfig::default() };
    let server = TestServer::with(config, Duration::from_secs(60)).await;
    let listening =
        Server::bind(([127, 0, 0, 1], 0).into(), server.state.clone(), None).await.unwrap();
    let address = listening.address();
    tokio::spawn(listening.run(std::future::pending()));
    let (_, png) = picture(8, 8, 1);
    let body = score_body(&[(&png, "a")]).to_string();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&[head(body.len()).as_bytes(), body.as_bytes()].concat()).await.unwrap();
    let stub = server.stub();
    let order = std::sync::atomic::Ordering::SeqCst;
    let stopped = async {
        while stub.encodings.load(order) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(stream);
        while stub.cancelled.load(order) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, stopped).await.expect("the model is asked to stop");
}
