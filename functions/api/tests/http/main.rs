//! The router in process: bad input, routing, the contract, and what it answers while Postgres is away. Nothing is
//! listened to or connected to; what needs a store is tested with the whole stack.

mod absence;
mod bad_input;
mod contract;
#[expect(
    clippy::unwrap_used,
    reason = "a fixture that cannot be made fails its test"
)]
mod fixture;
mod foreign;
mod routing;
