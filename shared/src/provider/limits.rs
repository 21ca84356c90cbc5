//! What each provider allows, as data. Whoever sends the requests keeps to it.

/// What a provider allows one user.
///
/// The requests of several windows hold together: 30 in a second and 60 in a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most units in a second; `None` if that is not limited.
    pub per_second: Option<u32>,
    /// Most units in a minute.
    pub per_minute: Option<u32>,
    /// Most units in an hour.
    pub per_hour: Option<u32>,
    /// Most units in a day.
    pub per_day: Option<u32>,
    /// Whether a day is one in UTC. Otherwise it is any 24 hours, which holds for every day.
    pub utc_day: bool,
    /// How many units a request takes.
    pub cost: Cost,
    /// Most symbols in one request; at least 1.
    pub max_symbols: u32,
    /// Most requests that are open at the same time; at least 1.
    pub max_concurrent: u32,
}

/// How many units of [`Limits`] a request takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// One, however many symbols it has.
    PerRequest,
    /// One for each symbol.
    PerSymbol,
}

/// Why a text is not one of limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// It cannot be read.
    #[error(
        "limits such as 30/s,60/min,50/h,800/day,symbols=8,concurrent=4, with none/day for no limit per day"
    )]
    Form,
    /// One request would need more units than a window has.
    #[error(
        "limits that can be kept: a request for {symbols} symbols counts as {symbols}, and {limit} are allowed"
    )]
    TooManySymbols {
        /// The symbols in a request, as the text has them.
        symbols: u32,
        /// The lowest limit.
        limit: u32,
    },
}

impl Limits {
    /// No limit but the number of symbols in a request.
    #[must_use]
    pub const fn unlimited(max_symbols: u32) -> Self {
        Self {
            per_second: None,
            per_minute: None,
            per_hour: None,
            per_day: None,
            utc_day: false,
            cost: Cost::PerRequest,
            max_symbols,
            max_concurrent: u32::MAX,
        }
    }

    /// The limits of a second, a minute, an hour and a day.
    #[must_use]
    pub fn of_windows(&self) -> [Option<u32>; 4] {
        [
            self.per_second,
            self.per_minute,
            self.per_hour,
            self.per_day,
        ]
    }

    /// How many units a request for this many symbols takes.
    #[must_use]
    pub fn cost_of(&self, symbols: usize) -> u32 {
        match self.cost {
            Cost::PerRequest => 1,
            Cost::PerSymbol => u32::try_from(symbols).unwrap_or(u32::MAX),
        }
    }

    /// These limits with those that `text` names replaced.
    ///
    /// `text` is a list such as `8/min,800/day,symbols=8,concurrent=4`. A number per `s`, `min`,
    /// `h` or `day` is a limit, and `none` in its place lifts it.
    ///
    /// ```
    /// use shared::provider::Limits;
    ///
    /// let limits = Limits::unlimited(20).with("30/s,60/min,symbols=8")?;
    /// assert_eq!((limits.per_second, limits.per_minute), (Some(30), Some(60)));
    /// assert_eq!((limits.per_day, limits.max_symbols), (None, 8));
    /// # Ok::<(), shared::provider::LimitsError>(())
    /// ```
    ///
    /// If every symbol counts, a request has at most as many as the lowest limit allows.
    ///
    /// # Errors
    /// If a part of the list has another form, has a zero, or comes twice; or if it names more
    /// symbols than a limit allows.
    pub fn with(mut self, text: &str) -> Result<Self, LimitsError> {
        let mut named = Vec::new();

        for item in text.split(',').map(str::trim) {
            let name = if let Some((number, window)) = item.split_once('/') {
                *self.window(window).ok_or(LimitsError::Form)? = match number {
                    "none" => None,
                    number => Some(positive(number)?),
                };
                window
            } else {
                let (name, number) = item.split_once('=').ok_or(LimitsError::Form)?;
                match name {
                    "symbols" => self.max_symbols = positive(number)?,
                    "concurrent" => self.max_concurrent = positive(number)?,
                    _ => return Err(LimitsError::Form),
                }
                name
            };

            if named.contains(&name) {
                return Err(LimitsError::Form);
            }
            named.push(name);
        }

        let lowest = self.of_windows().into_iter().flatten().min();
        if let (Cost::PerSymbol, Some(limit)) = (self.cost, lowest)
            && self.max_symbols > limit
        {
            let symbols = self.max_symbols;
            if named.contains(&"symbols") {
                return Err(LimitsError::TooManySymbols { symbols, limit });
            }
            self.max_symbols = limit;
        }
        Ok(self)
    }

    fn window(&mut self, name: &str) -> Option<&mut Option<u32>> {
        match name {
            "s" => Some(&mut self.per_second),
            "min" => Some(&mut self.per_minute),
            "h" => Some(&mut self.per_hour),
            "day" => Some(&mut self.per_day),
            _ => None,
        }
    }
}

fn positive(text: &str) -> Result<u32, LimitsError> {
    text.parse()
        .ok()
        .filter(|number| *number > 0)
        .ok_or(LimitsError::Form)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_is_replaced() {
        let documented = Limits {
            per_minute: Some(8),
            per_day: Some(800),
            cost: Cost::PerSymbol,
            ..Limits::unlimited(8)
        };

        let changed = documented.with("none/day, 55/min,concurrent=3").unwrap();

        let expected = Limits {
            per_minute: Some(55),
            per_day: None,
            max_concurrent: 3,
            ..documented
        };
        assert_eq!(changed, expected);
        assert_eq!(
            (changed.cost_of(5), Limits::unlimited(8).cost_of(5)),
            (5, 1)
        );
    }

    #[test]
    fn a_request_never_has_more_symbols_than_a_limit_that_counts_them_allows() {
        let documented = Limits {
            per_minute: Some(8),
            cost: Cost::PerSymbol,
            ..Limits::unlimited(8)
        };

        let refused = LimitsError::TooManySymbols {
            symbols: 55,
            limit: 8,
        };
        assert_eq!(documented.with("symbols=55"), Err(refused));
        assert_eq!(
            documented.with("symbols=9,4/s"),
            Err(LimitsError::TooManySymbols {
                symbols: 9,
                limit: 4
            })
        );
        let raised = documented.with("symbols=55,55/min").unwrap();
        assert_eq!(raised.max_symbols, 55);
        let lowered = documented.with("3/min").unwrap();
        assert_eq!(lowered.max_symbols, 3);
        let requests = Limits::unlimited(100).with("1/s,symbols=500").unwrap();
        assert_eq!(requests.max_symbols, 500, "a request counts once");
    }

    #[test]
    fn what_is_no_limit_is_refused() {
        for text in [
            "",
            "60",
            "60/week",
            "0/min",
            "-1/s",
            "1.5/s",
            "1/s,",
            "symbols=0",
            "symbols",
            "cost=2",
            "1/s,2/s",
            "none",
            "none=symbols",
            "99999999999/day",
        ] {
            assert_eq!(
                Limits::unlimited(1).with(text),
                Err(LimitsError::Form),
                "{text}"
            );
        }
    }
}
