//! Calls run in real shells, below a temporary directory in place of `/mnt/data`.

mod ending;
mod environment;
mod exactness;
mod interrupted;
mod lacking;
mod reading;
mod session;
mod stress;
