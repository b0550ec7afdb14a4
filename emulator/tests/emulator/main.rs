//! The emulator on the wire: HTTPS with its own CA, as any client sees it.

mod authority;
mod binary;
mod control;
mod faults;
mod groups;
mod pools;
mod protocol;
mod providers;
mod roles;
mod wire;
