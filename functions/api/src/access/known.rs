//! What one instance knows of the keys. It asks Postgres about a key at most every ten seconds, so
//! a revoked key lives for that long.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use shared::access::KeyId;
use shared::repository::api_keys::{self, ApiKey, USE_NOTED_EVERY};
use sqlx::PgPool;
use tokio::time::timeout;

use crate::deadline;
use crate::problem::Problem;

/// How long what Postgres said of a key counts.
const KEPT_FOR: TimeDelta = TimeDelta::seconds(10);
/// Most ids that are known. Unknown ones are remembered too, so that they cost no statement each.
const MOST: usize = 1_000;
/// Longest that noting a use may take.
const NOTING: Duration = Duration::from_secs(2);

/// The keys that were asked for, and whether there are any.
///
/// Ages are measured by the system clock. The monotonic clock may stand still while an instance is
/// frozen.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<Answers>);

#[derive(Debug, Default)]
struct Answers {
    keys: HashMap<KeyId, Answer>,
    any: Option<(DateTime<Utc>, bool)>,
    /// When this instance last noted the use of each key.
    noted: HashMap<KeyId, DateTime<Utc>>,
}

/// What Postgres said of an id, and when it was asked.
#[derive(Clone, Debug)]
struct Answer {
    asked_at: DateTime<Utc>,
    key: Option<Arc<ApiKey>>,
}

impl Known {
    /// The key of this id, valid or not.
    ///
    /// # Errors
    /// If Postgres has to be asked, and does not answer.
    pub(super) async fn find(
        &self,
        db: &PgPool,
        id: KeyId,
    ) -> Result<Option<Arc<ApiKey>>, Problem> {
        let asked_at = Utc::now();
        let known = self.answers().keys.get(&id).cloned();
        if let Some(answer) = known.filter(|answer| is_fresh(answer.asked_at, asked_at)) {
            return Ok(answer.key);
        }

        let key = deadline::postgres(api_keys::find(db, id))
            .await?
            .map(Arc::new);
        let answer = Answer {
            asked_at,
            key: key.clone(),
        };
        self.answers().remember(id, answer, asked_at);
        Ok(key)
    }

    /// Whether a key was ever made. While Postgres does not answer, what it said last counts.
    ///
    /// # Errors
    /// If Postgres does not answer, and has not before.
    pub(super) async fn any(&self, db: &PgPool) -> Result<bool, Problem> {
        let asked_at = Utc::now();
        let known = self.answers().any;
        match known {
            // Keys are never deleted.
            Some((_, true)) => return Ok(true),
            Some((at, any)) if is_fresh(at, asked_at) => return Ok(any),
            _ => {}
        }

        match deadline::postgres(api_keys::any(db)).await {
            Ok(any) => {
                self.answers().any = Some((asked_at, any));
                Ok(any)
            }
            Err(unavailable) => known.map(|(_, any)| any).ok_or(unavailable),
        }
    }

    /// Notes that a key is used, about once a minute. The request does not wait for it.
    pub(super) fn note_use(&self, db: &PgPool, key: &ApiKey) {
        let now = Utc::now();
        let recent = TimeDelta::from_std(USE_NOTED_EVERY).unwrap_or(TimeDelta::MAX);

        let id = key.id;
        let before = self.answers().noted.get(&id).copied();
        let noted = before.max(key.last_used_at);
        if noted.is_some_and(|at| at <= now && now - at < recent) {
            return;
        }
        self.answers().noted.insert(id, now);

        let db = db.clone();
        let note = async move {
            let noted = timeout(NOTING, api_keys::note_use(&db, id)).await;
            if !matches!(noted, Ok(Ok(()))) {
                tracing::warn!(key_id = %id, "the use of an API key was not noted");
            }
        };
        tokio::spawn(tracing::Instrument::in_current_span(note));
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answers {
    fn remember(&mut self, id: KeyId, answer: Answer, now: DateTime<Utc>) {
        if self.keys.len() >= MOST {
            self.keys.retain(|_, answer| is_fresh(answer.asked_at, now));
        }
        // So many at once are guesses: their owners are asked for again.
        if self.keys.len() >= MOST {
            self.keys.retain(|_, answer| answer.key.is_some());
        }
        if self.keys.len() >= MOST {
            self.keys.clear();
        }

        self.keys.insert(id, answer);
    }
}

/// Whether an answer still counts. One from the future is of a clock that was set back.
fn is_fresh(asked_at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    asked_at <= now && now - asked_at < KEPT_FOR
}

#[cfg(test)]
mod tests {
    use shared::access::Key;

    use super::*;

    fn id(number: usize) -> KeyId {
        let digit = |at: u32| u8::try_from(number / 58_usize.pow(at % 3) % 58).unwrap();
        let bytes = (0..256).map(digit);
        Key::from_random(bytes).unwrap().id()
    }

    #[test]
    fn an_answer_counts_for_ten_seconds_and_never_from_the_future() {
        let now = Utc::now();
        for (age, fresh) in [(0, true), (9_999, true), (10_000, false), (-1, false)] {
            assert_eq!(
                is_fresh(now - TimeDelta::milliseconds(age), now),
                fresh,
                "{age}"
            );
        }
    }

    #[test]
    fn ever_more_ids_do_not_take_ever_more_memory() {
        let (mut answers, now) = (Answers::default(), Utc::now());
        for number in 0..5_000 {
            let answer = Answer {
                asked_at: now,
                key: None,
            };
            answers.remember(id(number), answer, now);
            assert!(answers.keys.len() <= MOST);
        }
        assert!(answers.keys.contains_key(&id(4_999)));
    }
}
