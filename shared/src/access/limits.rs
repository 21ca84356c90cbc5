//! How often a key may be used.

use std::fmt;
use std::str::FromStr;

/// Greatest number of requests in a window.
const MOST: u32 = 100_000_000;
/// The windows, as they are written, with their lengths in seconds.
const WINDOWS: [(&str, u32); 4] = [("s", 1), ("min", 60), ("h", 3_600), ("day", 86_400)];

/// Why a text is not one of limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be limits such as 5/s or 5/s,100/min,1000/h,10000/day")]
pub struct RateLimitsError;

/// Most requests in any second, minute, hour and 24 hours. They hold together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimits([Option<u32>; 4]);

impl RateLimits {
    /// The limits of a second, a minute, an hour and 24 hours.
    #[must_use]
    pub fn of_windows(self) -> [Option<u32>; 4] {
        self.0
    }

    /// Limits as they are stored: of the four windows, in this order.
    #[must_use]
    pub fn from_stored(limits: &[Option<i64>]) -> Option<Self> {
        let limit = |limit: Option<i64>| limit.map(u32::try_from).transpose().ok();
        match limits {
            [second, minute, hour, day] => Some(Self([
                limit(*second)?,
                limit(*minute)?,
                limit(*hour)?,
                limit(*day)?,
            ])),
            _ => None,
        }
    }

    /// Whether nothing is limited.
    #[must_use]
    pub fn is_unlimited(self) -> bool {
        self.0 == [None; 4]
    }

    /// Each limit with the length of its window in seconds, the shortest window first.
    pub fn each(self) -> impl Iterator<Item = (u32, u32)> {
        let limits = self.0.into_iter().zip(WINDOWS);
        limits.filter_map(|(limit, (_, seconds))| Some((limit?, seconds)))
    }
}

impl fmt::Display for RateLimits {
    /// As they are read; empty if there are none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limits = self.0.into_iter().zip(WINDOWS);
        let written: Vec<String> = limits
            .filter_map(|(limit, (window, _))| Some(format!("{}/{window}", limit?)))
            .collect();
        f.write_str(&written.join(","))
    }
}

impl FromStr for RateLimits {
    type Err = RateLimitsError;

    fn from_str(text: &str) -> Result<Self, RateLimitsError> {
        let mut limits = Self::default();

        for item in text.split(',').map(str::trim) {
            let (number, window) = item.split_once('/').ok_or(RateLimitsError)?;
            let place = WINDOWS.iter().position(|(name, _)| *name == window);
            let limit = &mut limits.0[place.ok_or(RateLimitsError)?];

            let plain = number.bytes().all(|byte| byte.is_ascii_digit());
            let number = number
                .parse()
                .ok()
                .filter(|number| (1..=MOST).contains(number));
            let twice = limit.replace(number.filter(|_| plain).ok_or(RateLimitsError)?);
            if twice.is_some() {
                return Err(RateLimitsError);
            }
        }
        Ok(limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_written_as_they_are_read() {
        for text in ["5/s", "100/min", "5/s,100/min,1000/h,10000/day", "7/day"] {
            assert_eq!(text.parse::<RateLimits>().unwrap().to_string(), text);
        }

        let both: RateLimits = "60/min, 5/s".parse().unwrap();
        assert_eq!(both.of_windows(), [Some(5), Some(60), None, None]);
        assert_eq!(both.each().collect::<Vec<_>>(), [(5, 1), (60, 60)]);
        assert!(RateLimits::default().is_unlimited() && !both.is_unlimited());
    }

    #[test]
    fn what_is_no_limit_is_refused() {
        for text in [
            "",
            "5",
            "5/",
            "/s",
            "0/s",
            "-1/s",
            "+5/s",
            "1.5/s",
            "5/sec",
            "5/s,",
            "5/s,6/s",
            "none/s",
            "5/s 6/min",
            "99999999999/day",
        ] {
            assert_eq!(text.parse::<RateLimits>(), Err(RateLimitsError), "{text}");
        }
    }

    #[test]
    fn stored_limits_are_four() {
        let stored = [Some(5), None, None, Some(9)];
        let limits = RateLimits::from_stored(&stored).unwrap();
        assert_eq!(limits.to_string(), "5/s,9/day");
        assert_eq!(RateLimits::from_stored(&stored[1..]), None);
        assert_eq!(RateLimits::from_stored(&[Some(-1), None, None, None]), None);
    }
}
