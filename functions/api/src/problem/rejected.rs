//! The problems of rejected events that are to be sent again.

use shared::repository::rejected_events::quarantine::{MOST_TIMES, Quarantined};

use super::{MAX_SHOWN_PATH, Problem, StatusCode};

impl Problem {
    pub(crate) fn no_rejected_event(id: &str) -> Self {
        let shown: String = id.chars().take(MAX_SHOWN_PATH).collect();
        let detail = format!(
            "there is no rejected event {shown}; GET /rejected lists them, and retention may have deleted it"
        );
        let (status, kind) = (StatusCode::NOT_FOUND, "/docs#no-rejected-event");
        Self::new(status, kind, "No such rejected event", detail)
    }

    pub(crate) fn redriven_too_often() -> Self {
        let detail = format!(
            "a record of this content was sent {MOST_TIMES} times, and was refused each time: publish a corrected one \
             instead"
        );
        let (status, kind) = (StatusCode::CONFLICT, "/docs#redriven-too-often");
        Self::new(status, kind, "Redriven too often", detail)
    }

    pub(crate) fn not_redrivable(event: &Quarantined) -> Self {
        let detail = if event.value.is_none() {
            "the record has no value, so it can never become a point".to_owned()
        } else {
            format!(
                "the record is of another topic than the one that is written now: {}",
                event.id.topic
            )
        };
        let (status, kind) = (StatusCode::CONFLICT, "/docs#not-redrivable");
        Self::new(status, kind, "Cannot be redriven", detail)
    }
}
