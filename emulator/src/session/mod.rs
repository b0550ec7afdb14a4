//! The containers behind sessions: where a session's commands really run.
//!
//! Nothing here knows HTTP, pools or identifiers. A [`SessionHost`] opens [`Container`]s; a container runs commands
//! ([`Container::execute`]), holds the files below `/mnt/data` ([`Volume`]) and is gone, with every process in it, once it
//! is closed or the emulator has ended, however it ended.
//!
//! # Confinement
//! With [`crate::Isolation::Namespaces`] a container is a set of Linux namespaces, made with util-linux's `unshare` and entered
//! with `nsenter`, which works as root and as an ordinary user alike:
//!
//! - One *sandbox* is prepared when the emulator starts: a user namespace whose root makes a mount namespace in which all
//!   file systems are read-only, `/dev` has only harmless nodes, and `/run`, home directories and the emulator's data
//!   directory are covered; and a process namespace that holds all sessions and dies with the emulator.
//! - Each container nests a second user namespace in it, with its own `/mnt/data`, `/tmp`, `/dev/shm`, processes, IPC,
//!   host name and, without egress, network. Commands run there as an ordinary user. Because mounts belong to the outer
//!   user namespace, not even a further `unshare` inside the session can undo them.
//! - An emulator that runs as root runs all of this as [`SESSION_UID`], so that a session is never root on the machine.
//!
//! The kernel, CPU and memory are shared with the machine: this confines scripts under test, not attackers of the kernel.

mod capture;
mod container;
mod execution;
mod files;
mod host;
mod kernel;
mod memory;
mod mount_free;
mod path;
mod responder;
mod sandbox;
mod service;
mod streams;
mod volume;
mod volume_directory;

pub use capture::StreamRules;
pub use container::{Container, ContainerError};
pub use execution::{Command, Completion, ExecuteError, Execution};
pub use files::FileError;
pub use host::{HostError, Network, SESSION_UID, SessionHost};
pub use kernel::{Code, CodeExecution, KernelError, KernelUse, Language, Outcome};
pub use memory::MemoryVolume;
pub use path::{DOCUMENTED_CHARACTERS, DirectoryPath, FileName, PathError};
pub use responder::{Pattern, Responder, SimulatedExecution};
pub use service::{Connection, ConnectionGuard, Service, ServiceFailure};
pub use volume::{Content, EntryKind, FileEntry, Volume};
