//! Calls run in real shells, below a temporary directory in place of `/mnt/data`.

#![allow(clippy::format_collect, reason = "expected values are easiest read this way")]

mod captured;
mod cleaning;
mod container;
mod ending;
mod environment;
mod exactness;
mod full;
mod interrupted;
mod lacking;
mod reading;
mod removing;
mod session;
mod stress;
