//! Scenarios through the whole stack: real Postgres, real function binaries, the emulator as a person starts it.

mod averages;
mod prices;
mod quarantine;
mod restart;
mod trouble;
