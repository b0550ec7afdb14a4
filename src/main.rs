//! The Lifeguard operator.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use lifeguard::config::{Arguments, LogFormat, Task};
use lifeguard::runtime::limits::LOG_LINES;
use lifeguard::runtime::log::{LogBudget, LogLines};
use lifeguard::{api, operator};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Task::Crds) = arguments.command {
        return print_crds();
    }
    // The first thing of all: rustls panics where it has to choose a provider by itself.
    let installed = rustls::crypto::ring::default_provider().install_default();
    installed.expect("invariant: nothing installed a TLS provider before main");
    let budget = LogBudget::new(LOG_LINES);
    log_to_stderr(arguments.config.log_format, budget.clone());
    lifeguard::runtime::descriptors::raise_limit();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no threads could be started");
            return ExitCode::FAILURE;
        }
    };
    runtime.spawn(budget.report());
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

fn log_to_stderr(format: LogFormat, budget: LogBudget) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Json => {
            let lines = fmt::layer().json().with_writer(std::io::stderr);
            registry.with(lines.with_filter(budget)).init();
        }
        // JSON escapes by itself.
        LogFormat::Text => {
            let lines = fmt::layer()
                .with_ansi(false)
                .with_writer(|| LogLines::new(std::io::stderr()));
            registry.with(lines.with_filter(budget)).init();
        }
    }
}
