//! How a key stands towards its limits, as answers tell it: in the fields of
//! draft-ietf-httpapi-ratelimit-headers-06.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use shared::access::RateLimits;

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// How a key stands: in the window that has the least left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    limits: RateLimits,
    limit: u32,
    remaining: u32,
    /// Seconds after which the whole limit is there again, if nothing is used; of a request that was
    /// refused, those after which one is.
    reset: u64,
}

impl Standing {
    /// How a key with these limits stands, if each window has so much left, and the instance has
    /// taken `ahead` more.
    pub(super) fn of(limits: RateLimits, remaining: [Option<u32>; 4], ahead: u32) -> Self {
        let left = remaining.into_iter().flatten();
        let windows = limits.each().zip(left);
        let tightest = windows.min_by_key(|(_, left)| *left);
        let ((limit, seconds), left) = tightest.unwrap_or(((0, 0), 0));

        Self {
            limits,
            limit,
            remaining: left.saturating_add(ahead).min(limit),
            reset: seconds.into(),
        }
    }

    /// The same, if nothing is left before `wait` is over.
    pub(super) fn refused_for(self, wait: Duration) -> Self {
        let whole = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Self {
            remaining: 0,
            reset: whole.max(1),
            ..self
        }
    }

    /// Adds the fields to an answer.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        headers.insert(LIMIT, self.limit.into());
        headers.insert(REMAINING, self.remaining.into());
        headers.insert(RESET, self.reset.into());

        let policies: Vec<String> = self
            .limits
            .each()
            .map(|(limit, seconds)| format!("{limit};w={seconds}"))
            .collect();
        if let Ok(policies) = HeaderValue::try_from(policies.join(", ")) {
            headers.insert(POLICY, policies);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_that_has_the_least_left_is_told() {
        let limits = "5/s,100/min".parse().unwrap();
        let told = |standing: Standing| {
            let mut headers = HeaderMap::new();
            standing.tell(&mut headers);
            [LIMIT, REMAINING, RESET, POLICY].map(|name| headers[name].to_str().unwrap().to_owned())
        };

        let of_second = Standing::of(limits, [Some(3), Some(90), None, None], 1);
        assert_eq!(told(of_second), ["5", "4", "1", "5;w=1, 100;w=60"]);
        let of_minute = Standing::of(limits, [Some(3), Some(2), None, None], 0);
        assert_eq!(told(of_minute), ["100", "2", "60", "5;w=1, 100;w=60"]);

        let refused = Standing::of(limits, [Some(0), Some(9), None, None], 0);
        let refused = refused.refused_for(Duration::from_millis(200));
        assert_eq!(told(refused), ["5", "0", "1", "5;w=1, 100;w=60"]);
    }
}
