//! Somebody outside the sessions whom commands tell that they run.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// A listener on the loopback interface, which sessions reach when their pool has `EgressEnabled`.
///
/// What a command told it cannot be taken back by anything that happens to the session, the operator or an answer, so it
/// shows how often the command really ran.
pub struct Witness {
    port: u16,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    lines: Vec<String>,
    connected: usize,
}

impl Witness {
    /// Listens from now on, until the test ends.
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let seen = Arc::<Mutex<Seen>>::default();
        let witness = Self {
            port,
            seen: Arc::clone(&seen),
        };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                lock(&seen).connected += 1;
                tokio::spawn(listen(stream, Arc::clone(&seen)));
            }
        });
        witness
    }

    /// Script text (bash) that says `name` and hangs up.
    pub fn told(&self, name: &str) -> String {
        format!("echo {name} >/dev/tcp/127.0.0.1/{}", self.port)
    }

    /// Script text (bash) that says `name` and stays connected until the last process of the command has ended.
    pub fn held(&self, name: &str) -> String {
        format!("exec 9<>/dev/tcp/127.0.0.1/{}; echo {name} >&9", self.port)
    }

    /// How often `name` was said.
    pub fn count(&self, name: &str) -> usize {
        lock(&self.seen).lines.iter().filter(|it| *it == name).count()
    }

    /// How many processes (and their children) are still connected.
    pub fn connected(&self) -> usize {
        lock(&self.seen).connected
    }
}

async fn listen(stream: TcpStream, seen: Arc<Mutex<Seen>>) {
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        lock(&seen).lines.push(line);
    }
    lock(&seen).connected -= 1;
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
