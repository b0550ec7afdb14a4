//! The Lifeguard operator.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use lifeguard::config::{Arguments, LogFormat, Task};
use lifeguard::runtime::log::LogLines;
use lifeguard::{api, operator};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Task::Crds) = arguments.command {
        return print_crds();
    }
    // The first thing of all: rustls panics where it has to choose a provider by itself.
    let installed = rustls::crypto::ring::default_provider().install_default();
    installed.expect("invariant: nothing installed a TLS provider before main");
    log_to_stderr(arguments.config.log_format);
    lifeguard::runtime::descriptors::raise_limit();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no threads could be started");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(operator::run(arguments.config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = operator::report(&error), "stopped");
            ExitCode::FAILURE
        }
    }
}

fn print_crds() -> ExitCode {
    let mut text = String::new();
    for crd in api::custom_resource_definitions() {
        text.push_str("---\n");
        text.push_str(&api::to_yaml(&crd));
    }
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn log_to_stderr(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Json => subscriber.json().init(),
        // JSON escapes by itself.
        LogFormat::Text => subscriber
            .with_ansi(false)
            .with_writer(|| LogLines::new(std::io::stderr()))
            .init(),
    }
}
