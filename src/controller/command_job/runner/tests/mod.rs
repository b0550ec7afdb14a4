//! Calls run in real shells, below a temporary directory in place of `/mnt/data`.

mod session;
mod start;
