//! The emulator as a program: `azure-emulator serve --data-dir DIR`.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use azure_emulator::{Emulator, Isolation, Options};
use clap::{Parser, Subcommand};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

/// Azure for tests, demos and CI, on the loopback interface.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM or SIGINT. Prints one line of JSON to stdout when ready.
    Serve {
        /// Directory of certificates, keys and state; made if it is not there.
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
        /// File of the authority's key, made if it is not there. Default: in the data directory.
        #[arg(long, value_name = "FILE")]
        authority_key: Option<PathBuf>,
        /// Loopback address to listen on; port 0 chooses a free one.
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// How the commands of sessions are kept apart from this host.
        #[arg(long, value_enum, default_value = "namespaces")]
        isolation: Isolation,
        /// Switches as `PUT /_emulator/behaviour` takes them: JSON, or a file of JSON or YAML.
        #[arg(long, value_name = "FILE|JSON")]
        behaviour: Option<String>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let Command::Serve {
        data_dir,
        authority_key,
        listen,
        isolation,
        behaviour,
    } = Arguments::parse().command;
    let options = Options {
        data_dir,
        authority_key,
        listen,
        isolation,
        behaviour: Value::Null,
    };
    match serve(options, behaviour.as_deref()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut source = error.source();
            let mut text = error.to_string();
            while let Some(cause) = source {
                text.push_str(": ");
                text.push_str(&cause.to_string());
                source = cause.source();
            }
            eprintln!("azure-emulator: {text}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(options: Options, behaviour: Option<&str>) -> Result<(), Box<dyn std::error::Error>> {
    let behaviour = behaviour.map_or(Ok(Value::Null), read_behaviour)?;
    // Before the ready line, so that a signal right after it is not missed.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let emulator = Emulator::start(Options { behaviour, ..options }).await?;
    {
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{}", serde_json::to_string(emulator.ready())?)?;
        stdout.flush()?;
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    emulator.stop().await;
    Ok(())
}

fn read_behaviour(argument: &str) -> Result<Value, Box<dyn std::error::Error>> {
    if argument.trim_start().starts_with('{') {
        return Ok(serde_json::from_str(argument)?);
    }
    let text = std::fs::read_to_string(argument).map_err(|error| format!("cannot read {argument}: {error}"))?;
    Ok(serde_saphyr::from_str(&text)?)
}
