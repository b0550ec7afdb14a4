//! Calls to sessions over connections to a front that lets only some requests of one connection through at a time, as an
//! HTTP/2 server does, against a small server of its own: the emulator speaks HTTP/1.1 only.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::Timestamp;
use lifeguard::azure::session::{PoolEndpoint, SessionClient, SessionIdentifier, SessionPath};
use lifeguard::azure::token::{FetchedToken, TokenSource};
use lifeguard::azure::{Cloud, CredentialError, Http, TokenScope, Tokens};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// How many requests of one HTTP/2 connection the server lets through at a time.
const STREAMS: u32 = 4;
/// Calls that wait for a command, of one namespace.
const POLLS: usize = STREAMS as usize + 30;
const POLL_WINDOW: Duration = Duration::from_mins(2);

/// What the server saw, and what it waits for.
struct Seen {
    connections: AtomicUsize,
    polls: AtomicUsize,
    arrived: Semaphore,
    ended: Semaphore,
}

/// A front of sessions whose executions end when they are told to.
struct Front {
    seen: Arc<Seen>,
    client: SessionClient,
}

struct FixedToken;

impl TokenSource for FixedToken {
    fn fetch<'a>(&'a self, _: &'a TokenScope) -> BoxFuture<'a, Result<FetchedToken, CredentialError>> {
        let token = FetchedToken {
            secret: "token".to_owned(),
            expires: Timestamp::now() + Duration::from_hours(1),
        };
        async { Ok(token) }.boxed()
    }
}

impl Front {
    async fn start() -> Self {
        // Every test asks for it; the first one wins.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let mut tls = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::clone(made.cert.der())],
                PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap(),
            )
            .unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let seen = Arc::new(Seen {
            connections: AtomicUsize::new(0),
            polls: AtomicUsize::new(0),
            arrived: Semaphore::new(0),
            ended: Semaphore::new(0),
        });
        let (acceptor, shared) = (TlsAcceptor::from(Arc::new(tls)), Arc::clone(&seen));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, acceptor.clone(), Arc::clone(&shared)));
            }
        });
        let cloud = Cloud {
            ca_bundle: Some(made.cert.pem().into_bytes()),
            sessions: Cloud::public()
                .sessions
                .map(|sessions| lifeguard::azure::cloud::Sessions {
                    host_suffixes: vec!["127.0.0.1".to_owned()],
                    port,
                    ..sessions
                }),
            ..Cloud::public()
        };
        let endpoint: PoolEndpoint = cloud.session_endpoint(&format!("https://127.0.0.1:{port}")).unwrap();
        let scope = cloud.sessions.as_ref().unwrap().scope.clone();
        let client = SessionClient::new(Http::new(&cloud).unwrap(), endpoint, Tokens::new(FixedToken), scope);
        Self { seen, client }
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, seen: Arc<Seen>) {
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let service = service_fn(move |request: Request<Incoming>| answer(request, Arc::clone(&seen)));
    let stream = TokioIo::new(stream);
    if is_http2 {
        let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = server
            .max_concurrent_streams(STREAMS)
            .serve_connection(stream, service)
            .await;
    } else {
        let server = hyper::server::conn::http1::Builder::new();
        let _ = server.serve_connection(stream, service).await;
    }
}

async fn answer(request: Request<Incoming>, seen: Arc<Seen>) -> Result<Response<String>, Infallible> {
    if request.uri().path().ends_with("/executions") {
        seen.polls.fetch_add(1, Ordering::SeqCst);
        seen.arrived.add_permits(1);
        let ended = seen.ended.acquire().await;
        ended.unwrap().forget();
    }
    let body = r#"{"status": "0", "result": {"stdout": "", "stderr": ""}}"#;
    Ok(Response::new(body.to_owned()))
}

fn session(number: usize) -> SessionIdentifier {
    SessionIdentifier::new(format!("lg-tests-{number:04}")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_wait_for_commands_hold_up_no_call_of_another_job() {
    let front = Front::start().await;
    let mut polls = JoinSet::new();
    for number in 0..POLLS {
        let client = front.client.clone();
        polls.spawn(async move { client.execute_shell(&session(number), "sleep 60", POLL_WINDOW).await });
    }
    // All of them arrive, and none has ended …
    let arrived = front.seen.arrived.acquire_many(u32::try_from(POLLS).unwrap()).await;
    arrived.unwrap().forget();
    // … when another job's files are written and read, its session is ended, and a command of it begins.
    let (client, other) = (&front.client, session(9999));
    let file = SessionPath::in_root("script").unwrap();
    client.upload(&other, &file, "echo hi").await.unwrap();
    client.download(&other, &file, 1 << 20).await.unwrap();
    client.delete_session(&other).await.unwrap();
    let started = client.clone();
    let begun = tokio::spawn(async move { started.execute_shell(&session(9998), "echo hi", POLL_WINDOW).await });
    front.seen.arrived.acquire().await.unwrap().forget();
    assert_eq!(front.seen.polls.load(Ordering::SeqCst), POLLS + 1);
    front.seen.ended.add_permits(POLLS + 1);
    begun.await.unwrap().unwrap();
    while let Some(poll) = polls.join_next().await {
        poll.unwrap().unwrap();
    }
}

#[tokio::test]
async fn the_calls_of_short_jobs_go_over_one_connection() {
    let front = Front::start().await;
    front.seen.ended.add_permits(20);
    let file = SessionPath::in_root("script").unwrap();
    for number in 0..20 {
        let (client, session) = (&front.client, session(number));
        client.upload(&session, &file, "echo hi").await.unwrap();
        client.execute_shell(&session, "echo hi", POLL_WINDOW).await.unwrap();
        client.delete_session(&session).await.unwrap();
    }
    assert_eq!(front.seen.connections.load(Ordering::SeqCst), 1);
}
