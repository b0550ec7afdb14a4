//! `make up`, `make down` and `make demo`: the control plane, the emulator and the operator on this machine.

mod console;
mod demo;
mod down;
mod layout;
mod status;
mod up;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use lifeguard_local::{Lifetime, Options};

use console::Console;
use layout::Layout;

/// Runs Lifeguard on this machine: a real Kubernetes control plane, the Azure emulator and the operator.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// The folder of state, kubeconfig and logs. (The demo makes a temporary one.)
    #[arg(long, value_name = "DIR", default_value = ".local", global = true)]
    folder: PathBuf,
    /// The root of the repository, for the chart and the examples.
    #[arg(long, value_name = "DIR", default_value = ".", global = true)]
    repository: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start what does not run yet, and leave it running.
    Up {
        /// Which cluster the operator works in.
        #[arg(long, env = "CLUSTER", default_value = "local")]
        cluster: Cluster,
    },
    /// Stop what `up` left running. Its state stays for the next `up`.
    Down,
    /// Say what runs.
    Status,
    /// Start everything anew, run the quickstart, show its output, stop.
    Demo,
}

/// The cluster that the operator works in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Cluster {
    /// A control plane of its own on this machine, without nodes.
    Local,
    /// The current context of the user's kubeconfig. The operator runs on this machine all the same.
    Current,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let console = Console::start();
    match run(&arguments, &console) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console::print_failure(error.as_ref());
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments, console: &Console) -> Result<(), Box<dyn std::error::Error>> {
    let layout = Layout::new(&arguments.folder, &arguments.repository)?;
    match arguments.command {
        Command::Up { cluster } => {
            let options = Options {
                lifetime: Lifetime::Detached,
                ..Options::default()
            };
            let running = up::up(&layout, cluster, options, console)?;
            console::print("");
            status::print(&layout);
            console::print(&format!("\nTo use it:  source {}", layout.environment().display()));
            drop(running);
        }
        Command::Down => down::down(&layout, console),
        Command::Status => status::print(&layout),
        Command::Demo => demo::demo(&arguments.repository, console)?,
    }
    Ok(())
}
