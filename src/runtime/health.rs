//! `/livez` and `/readyz`.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    future::Future,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::limits::{HEALTH_CONNECTION_TIME, HEALTH_CONNECTIONS, HEALTH_REQUEST_BYTES};

/// A watch that has been failing for so long is not ready.
const FAILING_TOO_LONG: Duration = Duration::from_mins(5);
/// The pause after a connection could not be accepted, for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Failures further apart than this are separate incidents: a watch that fails is resumed within 30 s.
const INCIDENT_GAP: Duration = Duration::from_secs(90);

/// What the health endpoints know.
#[derive(Clone)]
pub struct Health {
    checks: Arc<Mutex<Vec<HealthCheck>>>,
    stop: CancellationToken,
}

/// A condition that must hold before the process is ready.
#[derive(Clone)]
pub struct HealthCheck {
    name: Arc<str>,
    state: Arc<Mutex<CheckState>>,
}

#[derive(Debug, Default)]
struct CheckState {
    ready: bool,
    incident: Option<Incident>,
}

#[derive(Debug, Clone, Copy)]
struct Incident {
    first: Instant,
    last: Instant,
}

impl Health {
    /// Not ready from the moment `stop` is cancelled.
    pub fn new(stop: CancellationToken) -> Self {
        Self {
            checks: Arc::default(),
            stop,
        }
    }

    /// Adds a check, which is not ready yet.
    pub fn check(&self, name: &str) -> HealthCheck {
        let check = HealthCheck {
            name: name.into(),
            state: Arc::default(),
        };
        lock(&self.checks).push(check.clone());
        check
    }

    /// Whether everything is ready.
    pub fn is_ready(&self) -> bool {
        self.report().0 == StatusCode::OK
    }

    /// Binds nothing itself: serves until `until` resolves.
    pub async fn serve(
        self,
        listener: TcpListener,
        until: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let router = Router::new()
            // Answering at all is what it proves: the event loop turns.
            .route("/livez", get(|| async { "ok\n" }))
            .route(
                "/readyz",
                get(|State(health): State<Self>| async move { health.report() }),
            )
            .with_state(self);
        let mut connections = Connections::default();
        let mut until = std::pin::pin!(until);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = &mut until => break,
            };
            match accepted {
                Ok((stream, _)) => connections.open(stream, router.clone()),
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
        // Each of them has its end.
        while connections.tasks.join_next().await.is_some() {}
        Ok(())
    }

    fn report(&self) -> (StatusCode, String) {
        let now = Instant::now();
        let mut text = String::new();
        let mut ready = true;
        let mut line = |name: &str, problem: Option<&str>| {
            ready &= problem.is_none();
            let _ = match problem {
                Some(problem) => writeln!(text, "[-] {name}: {problem}"),
                None => writeln!(text, "[+] {name}"),
            };
        };
        line(
            "shutdown",
            self.stop.is_cancelled().then_some("the process is shutting down"),
        );
        for check in lock(&self.checks).iter() {
            line(&check.name, check.problem(now));
        }
        (
            if ready {
                StatusCode::OK
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            },
            text,
        )
    }
}

/// The connections that are open, the oldest one first.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    open: VecDeque<AbortHandle>,
}

impl Connections {
    fn open(&mut self, stream: TcpStream, router: Router) {
        while self.tasks.try_join_next().is_some() {}
        self.open.retain(|it| !it.is_finished());
        if self.open.len() >= HEALTH_CONNECTIONS
            && let Some(oldest) = self.open.pop_front()
        {
            oldest.abort();
        }
        let opened = self.tasks.spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .keep_alive(false)
                .max_buf_size(HEALTH_REQUEST_BYTES)
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
            // Whoever asked has gone, or takes its time, or sends what is no request.
            let _ = tokio::time::timeout(HEALTH_CONNECTION_TIME, connection).await;
        });
        self.open.push_back(opened);
    }
}

impl HealthCheck {
    /// The condition holds from now on.
    pub fn ready(&self) {
        lock(&self.state).ready = true;
    }

    /// It failed once more. Only repeated failures for 5 min make it unready; success need not be reported.
    pub fn failed(&self) {
        self.failed_at(Instant::now());
    }

    fn failed_at(&self, now: Instant) {
        let mut state = lock(&self.state);
        let first = match state.incident {
            Some(incident) if now - incident.last < INCIDENT_GAP => incident.first,
            Some(_) | None => now,
        };
        state.incident = Some(Incident { first, last: now });
    }

    fn problem(&self, now: Instant) -> Option<&'static str> {
        let state = lock(&self.state);
        if !state.ready {
            return Some("not ready yet");
        }
        let failing = state
            .incident
            .is_some_and(|incident| now - incident.last < INCIDENT_GAP && now - incident.first >= FAILING_TOO_LONG);
        failing.then_some("has been failing for more than 5 minutes")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn it_is_ready_when_every_check_is_and_not_once_shutdown_begins() {
        let stop = CancellationToken::new();
        let health = Health::new(stop.clone());
        assert!(health.is_ready());
        let (pools, jobs) = (health.check("pools"), health.check("jobs"));
        pools.ready();
        assert_eq!(
            health.report(),
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "[+] shutdown\n[+] pools\n[-] jobs: not ready yet\n".into()
            )
        );
        jobs.ready();
        assert!(health.is_ready());
        stop.cancel();
        assert!(!health.is_ready());
    }

    #[test]
    fn a_watch_that_fails_for_five_minutes_is_not_ready_until_it_stops_failing() {
        let check = Health::new(CancellationToken::new()).check("watch");
        check.ready();
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        for seconds in (0..300).step_by(30) {
            assert_eq!(check.problem(at(seconds)), None);
            check.failed_at(at(seconds));
        }
        assert!(check.problem(at(301)).is_some());
        assert_eq!(check.problem(at(361)), None, "no failure for 90 s");
        check.failed_at(at(400));
        assert_eq!(check.problem(at(401)), None, "a new incident begins anew");
    }

    /// Whether the other end has closed a connection: there is nothing more to be read.
    fn is_closed(stream: &TcpStream) -> bool {
        let mut bytes = [0; 512];
        loop {
            match stream.try_read(&mut bytes) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
    }

    async fn answer(stream: &mut TcpStream, request: &[u8]) -> String {
        let mut text = String::new();
        // A connection that is closed meanwhile has no answer.
        let _ = stream.write_all(request).await;
        let _ = stream.read_to_string(&mut text).await;
        text
    }

    #[tokio::test]
    async fn half_sent_requests_neither_pile_up_nor_keep_the_kubelet_from_its_answer() {
        let health = Health::new(CancellationToken::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let end = CancellationToken::new();
        let server = tokio::spawn(health.serve(listener, end.clone().cancelled_owned()));
        let mut half_sent = Vec::new();
        for _ in 0..8 * HEALTH_CONNECTIONS {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET /livez HTTP/1.1\r\nX: ").await.unwrap();
            half_sent.push(stream);
        }
        let mut kubelet = TcpStream::connect(address).await.unwrap();
        let text = answer(&mut kubelet, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(text.starts_with("HTTP/1.1 200 OK") && text.ends_with("ok\n"), "{text}");
        while half_sent.iter().filter(|it| !is_closed(it)).count() > HEALTH_CONNECTIONS {
            tokio::task::yield_now().await;
        }
        // Those that are left have their end too, as what is no request and what is too long has.
        for mut stream in half_sent {
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
        }
        let mut long = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "GET /livez HTTP/1.1\r\nX: {}\r\n\r\n",
            "x".repeat(4 * HEALTH_REQUEST_BYTES)
        );
        assert!(!answer(&mut long, request.as_bytes()).await.contains("200 OK"));
        end.cancel();
        server.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn the_endpoints_answer_over_http() {
        // Another test of this process may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let stop = CancellationToken::new();
        let health = Health::new(stop.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let root = format!("http://{}", listener.local_addr().unwrap());
        let end = CancellationToken::new();
        let server = tokio::spawn(health.clone().serve(listener, end.clone().cancelled_owned()));
        assert_eq!(reqwest::get(format!("{root}/livez")).await.unwrap().status(), 200);
        assert_eq!(reqwest::get(format!("{root}/readyz")).await.unwrap().status(), 200);
        stop.cancel();
        assert_eq!(reqwest::get(format!("{root}/readyz")).await.unwrap().status(), 503);
        assert_eq!(reqwest::get(format!("{root}/livez")).await.unwrap().status(), 200);
        end.cancel();
        server.await.unwrap().unwrap();
    }
}
