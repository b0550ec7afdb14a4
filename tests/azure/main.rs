//! The Azure contract on the wire: the operator's clients against the emulator, over TLS, with tokens that are checked.

mod arm;
mod emulated;
mod sessions;
mod tokens;
