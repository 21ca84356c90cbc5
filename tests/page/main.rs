//! The page at `GET /` in a real browser: Chromium, driven by Playwright. Each test starts a stack,
//! and a script beside this file that behaves as a visitor does. `tools/page/install` installs what
//! they need.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot continue should fail at that line"
)]

mod accessibility;
mod events;
mod jobs;
mod keys;
mod operation;
mod prices;
mod speed;
mod visitor;
