//! When the market of a symbol trades, as a provider tells it.
//!
//! A provider tells one period: the present one, the next one, or the last one. There is no calendar
//! here: on a holiday, the period that the provider tells is not today's.

use chrono::TimeDelta;

use super::Timestamp;

/// How long before its market opens a symbol is asked for again.
const BEFORE_OPENING: TimeDelta = TimeDelta::minutes(2);
/// How long after the end of trading a symbol is asked for. Free quotes may be 20 minutes late, and
/// the closing auction takes some minutes more.
const AFTER_CLOSING: TimeDelta = TimeDelta::minutes(30);
/// How often a provider is asked while the next period is not known yet.
const ASKING_FOR_NEXT: TimeDelta = TimeDelta::minutes(15);

/// When a symbol trades, according to a provider's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trading {
    /// The provider's name of the exchange. Symbols of one exchange trade at the same times.
    pub exchange: Option<String>,
    /// The period of regular trading.
    pub period: Option<TradingPeriod>,
}

/// A period of regular trading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TradingPeriod {
    opens: Timestamp,
    closes: Timestamp,
}

impl TradingPeriod {
    /// A period; `None` if it ends before it begins.
    #[must_use]
    pub fn new(opens: Timestamp, closes: Timestamp) -> Option<Self> {
        (opens < closes).then_some(Self { opens, closes })
    }

    /// Until when the symbol need not be asked for, if its market is closed at `now`; `None` while
    /// it is open. `newest_quote` is the market time of the newest quote.
    ///
    /// Before the period, this is shortly before it opens. After it, the next opening is not known:
    /// the provider is asked again soon. A market that has quotes of the last half hour is open, also
    /// outside its period: some never close, and their periods end each day.
    #[must_use]
    pub fn closed_until(
        &self,
        newest_quote: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        if newest_quote.is_some_and(|quoted| is_recent(quoted, now)) {
            return None;
        }

        let resumes = self.opens - BEFORE_OPENING;
        if now < resumes {
            Some(resumes)
        } else if now < self.closes + AFTER_CLOSING {
            None
        } else {
            Some(now + ASKING_FOR_NEXT)
        }
    }
}

/// Whether a quote of that market time shows at `now` that its market is open.
#[must_use]
pub fn is_recent(quoted: Timestamp, now: Timestamp) -> bool {
    quoted > now - AFTER_CLOSING
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-11-{text}:00Z").parse().unwrap()
    }

    /// Friday in New York.
    fn period() -> TradingPeriod {
        TradingPeriod::new(at("27T14:30"), at("27T21:00")).unwrap()
    }

    #[test]
    fn a_market_is_open_from_shortly_before_its_opening_until_late_quotes_have_come() {
        let stale = Some(at("26T21:00"));
        for (now, closed_until) in [
            ("27T08:00", Some(at("27T14:28"))),
            ("27T14:27", Some(at("27T14:28"))),
            ("27T14:28", None),
            ("27T18:00", None),
            ("27T21:29", None),
            ("27T21:30", Some(at("27T21:45"))),
        ] {
            assert_eq!(period().closed_until(stale, at(now)), closed_until, "{now}");
        }
    }

    #[test]
    fn over_a_weekend_or_a_holiday_the_provider_is_asked_until_it_tells_the_next_period() {
        let last = Some(at("27T21:00"));
        for now in ["27T23:00", "28T12:00", "29T12:00", "30T08:00"] {
            let asked_again = Some(at(now) + ASKING_FOR_NEXT);
            assert_eq!(period().closed_until(last, at(now)), asked_again, "{now}");
        }

        let monday = TradingPeriod::new(at("30T14:30"), at("30T21:00")).unwrap();
        assert_eq!(
            monday.closed_until(last, at("28T12:00")),
            Some(at("30T14:28"))
        );
    }

    #[test]
    fn a_market_with_recent_quotes_is_open_whatever_the_period_says() {
        let recent = |now| Some(at(now) - TimeDelta::minutes(1));
        for now in ["27T08:00", "28T12:00"] {
            assert_eq!(period().closed_until(recent(now), at(now)), None, "{now}");
        }
    }

    #[test]
    fn a_period_that_ends_before_it_begins_is_none() {
        assert_eq!(TradingPeriod::new(at("27T14:30"), at("27T14:30")), None);
    }
}
