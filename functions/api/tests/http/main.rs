//! The router in process: bad input, routing, the contract, and the answers while Postgres is
//! unavailable. No port is opened and no part is connected to; what needs a store is tested with
//! the whole stack.

mod absence;
mod bad_input;
mod compression;
mod contract;
mod cors;
mod every_parameter;
#[expect(
    clippy::unwrap_used,
    reason = "a fixture that cannot be made fails its test"
)]
mod fixture;
mod foreign;
mod limits;
mod page;
mod representations;
mod request_ids;
mod routing;
