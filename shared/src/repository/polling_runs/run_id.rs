//! The ids of runs.

use uuid::{Builder, Uuid, Variant, Version};

use crate::market::Timestamp;

/// The id of the run of a job at `time`.
///
/// It is a UUID of version 8 (RFC 9562): the time in milliseconds, the microseconds within the
/// millisecond, and the second half of the job's id. So runs sort by time, no two have the same id,
/// and [`time_of`] finds a run without a column or an index for its id.
#[must_use]
pub fn run_id(job_id: Uuid, time: Timestamp) -> Uuid {
    let microseconds = u64::try_from(time.timestamp_micros()).unwrap_or_default();
    let (milliseconds, rest) = (microseconds / 1_000, microseconds % 1_000);

    let high = u128::from(milliseconds) << 80 | u128::from(rest) << 64;
    let low = u128::from(job_id.as_u64_pair().1);
    Builder::from_u128(high | low)
        .with_version(Version::Custom)
        .with_variant(Variant::RFC4122)
        .into_uuid()
}

/// The time of the run of a job that has this id; `None` if it is no id of one of its runs.
#[must_use]
pub fn time_of(id: Uuid, job_id: Uuid) -> Option<Timestamp> {
    let high = id.as_u64_pair().0;
    let microseconds = (high >> 16) * 1_000 + (high & 0xfff);

    let time = Timestamp::from_timestamp_micros(i64::try_from(microseconds).ok()?)?;
    (run_id(job_id, time) == id).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn an_id_tells_the_time_of_its_run_and_belongs_to_one_job() {
        let (job_id, other) = (Uuid::new_v4(), Uuid::new_v4());

        for time in ["2026-11-28T10:00:00Z", "2026-11-28T10:00:00.000999Z"] {
            let id = run_id(job_id, at(time));
            assert_eq!(id.get_version_num(), 8);
            assert_eq!(time_of(id, job_id), Some(at(time)));
            assert_eq!(time_of(id, other), None);
        }
    }

    #[test]
    fn ids_sort_by_time() {
        let job_id = Uuid::new_v4();
        let id = |time| run_id(job_id, at(time));
        assert!(id("2026-11-28T10:00:00.000001Z") > id("2026-11-28T10:00:00Z"));
        assert!(id("2026-11-28T10:00:01Z") > id("2026-11-28T10:00:00.999999Z"));
    }

    #[test]
    fn what_is_no_run_s_id_tells_no_time() {
        let job_id = Uuid::new_v4();
        for id in [Uuid::nil(), Uuid::max(), job_id, Uuid::new_v4()] {
            assert_eq!(time_of(id, job_id), None, "{id}");
        }
    }
}
