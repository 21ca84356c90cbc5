//! What invokes the poller: the schedule of a job or of a relay, or a request for a run.

use serde::{Deserialize, Serialize};
use shared::market::Timestamp;

use crate::relay::{RelayFiring, ServedRelay};
use crate::{Firing, FiringError, Poller, RunRequest, Served};

/// An event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Event {
    /// A relay's schedule fires.
    Relay(RelayFiring),
    /// A job's schedule fires.
    Job(Firing),
    /// A request asks for a run.
    Run(RunRequest),
}

/// The result of an invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// Of a relay's firing.
    Relay(ServedRelay),
    /// Of a job's firing, or of a request for a run.
    Job(Served),
}

impl Poller {
    /// Handles an event, and ends before `deadline`, at which the invocation is cut off.
    ///
    /// # Errors
    /// As [`Poller::serve`], [`Poller::serve_relay`] and [`Poller::serve_request`].
    pub async fn handle(&self, event: &Event, deadline: Timestamp) -> Result<Answer, FiringError> {
        match event {
            Event::Relay(firing) => self.serve_relay(firing, deadline).await.map(Answer::Relay),
            Event::Job(firing) => self.serve(firing, deadline).await.map(Answer::Job),
            Event::Run(request) => self.serve_request(request, deadline).await.map(Answer::Job),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_the_firing_of_a_relay_or_of_a_job_or_a_request_for_a_run() {
        let relay = r#"{"relay_id":3,"scheduled_time":"2026-11-27T10:30:00Z"}"#;
        let relay: Event = serde_json::from_str(relay).unwrap();
        assert!(matches!(
            relay,
            Event::Relay(RelayFiring { relay_id: 3, .. })
        ));

        let job = include_str!("../../../events/poller-tick.json");
        let job: Event = serde_json::from_str(job).unwrap();
        assert!(matches!(job, Event::Job(_)));

        let run = include_str!("../../../events/poller-run.json");
        let run: Event = serde_json::from_str(run).unwrap();
        assert!(matches!(run, Event::Run(_)));

        assert!(
            serde_json::from_str::<Event>(r#"{"scheduled_time":"2026-11-27T10:30:00Z"}"#).is_err()
        );
    }
}
