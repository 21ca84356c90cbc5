//! The schedules of relays.

use super::{Named, ScheduleError, Schedules, Subject};
use crate::market::Timestamp;
use crate::tick::Grid;

impl Schedules {
    /// Creates the schedule of a relay, first firing at `start_at`. An existing schedule counts as
    /// success.
    ///
    /// # Errors
    /// When EventBridge is unavailable or refuses the request.
    pub async fn create_relay(
        &self,
        relay_id: i32,
        start_at: Timestamp,
    ) -> Result<(), ScheduleError> {
        self.create_for(&Subject::relay(relay_id), start_at).await?;
        Ok(())
    }

    /// The members in which a relay's schedule differs at `now` from what [`Self::create_relay`]
    /// creates for its `firings`. `None` if there is no schedule.
    ///
    /// # Errors
    /// When EventBridge is unavailable or refuses the request.
    pub async fn differences_of_relay(
        &self,
        relay_id: i32,
        firings: &Grid,
        now: Timestamp,
    ) -> Result<Option<Vec<&'static str>>, ScheduleError> {
        self.differences_of(&Subject::relay(relay_id), firings, now)
            .await
    }

    /// Replaces the definition of a relay's schedule, next firing at `start_at`. Returns whether
    /// the schedule exists.
    ///
    /// # Errors
    /// When EventBridge is unavailable or refuses the request.
    pub async fn update_relay(
        &self,
        relay_id: i32,
        start_at: Timestamp,
    ) -> Result<bool, ScheduleError> {
        self.update_for(&Subject::relay(relay_id), start_at).await
    }

    /// Deletes the schedule of a relay that does not exist. A missing schedule counts as success.
    ///
    /// # Errors
    /// When EventBridge is unavailable or refuses the request.
    pub async fn delete_relay(&self, relay_id: i32) -> Result<(), ScheduleError> {
        self.delete_named(Named::Relay(relay_id)).await
    }
}
