//! Somebody outside the sessions whom commands tell that they run.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A listener on the loopback interface, which sessions reach when their pool has `EgressEnabled`.
///
/// What a command told it cannot be taken back by anything that happens to the session, the operator or an answer, so it
/// shows how often the command really ran. It can also hold commands back, so that a test needs no clock.
pub struct Witness {
    port: u16,
    seen: Arc<Mutex<Seen>>,
    gate: watch::Sender<bool>,
}

#[derive(Default)]
struct Seen {
    lines: Vec<String>,
    connected: usize,
}

impl Witness {
    /// Listens from now on, until the test ends. The gate is closed.
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let seen = Arc::<Mutex<Seen>>::default();
        let (gate, opened) = watch::channel(false);
        let witness = Self {
            port,
            seen: Arc::clone(&seen),
            gate,
        };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                lock(&seen).connected += 1;
                tokio::spawn(listen(stream, Arc::clone(&seen), opened.clone()));
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

    /// Script text (bash) that says `name` and goes on once the gate is open.
    pub fn asked(&self, name: &str) -> String {
        format!(
            "exec 8<>/dev/tcp/127.0.0.1/{}; echo {name} >&8; read -r _ <&8; exec 8>&-",
            self.port
        )
    }

    /// Lets everybody go on who asked, and from now on everybody who asks.
    pub fn open(&self) {
        self.gate.send_replace(true);
    }

    /// Holds back everybody who asks from now on.
    pub fn close(&self) {
        self.gate.send_replace(false);
    }

    /// How many names were said that begin like this.
    pub fn count_prefix(&self, prefix: &str) -> usize {
        lock(&self.seen)
            .lines
            .iter()
            .filter(|it| it.starts_with(prefix))
            .count()
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

async fn listen(stream: TcpStream, seen: Arc<Mutex<Seen>>, mut opened: watch::Receiver<bool>) {
    let (reading, mut writing) = stream.into_split();
    let mut lines = BufReader::new(reading).lines();
    let (mut heard, mut answered) = (false, false);
    loop {
        tokio::select! {
            line = lines.next_line() => {
                let Ok(Some(line)) = line else { break };
                lock(&seen).lines.push(line);
                heard = true;
            }
            // Not earlier: an answer to somebody who hung up would take the line with it.
            () = is_open(&mut opened), if heard && !answered => {
                answered = true;
                let _ = writing.write_all(b"go\n").await;
            }
        }
    }
    lock(&seen).connected -= 1;
}

async fn is_open(gate: &mut watch::Receiver<bool>) {
    if gate.wait_for(|open| *open).await.is_err() {
        // The test is over.
        std::future::pending::<()>().await;
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
