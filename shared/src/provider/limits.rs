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

/// The text of limits that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "limits such as 30/s,60/min,50/h,800/day,symbols=8,concurrent=4, with none/day for no limit per day"
)]
pub struct LimitsError;

impl Limits {
    /// No limit but the number of symbols in a request.
    #[must_use]
    pub const fn unlimited(max_symbols: u32) -> Self {
        Self {
            per_second: None,
            per_minute: None,
            per_hour: None,
            per_day: None,
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
    /// # Errors
    /// If a part of the list has another form, has a zero, or comes twice.
    pub fn with(mut self, text: &str) -> Result<Self, LimitsError> {
        let mut named = Vec::new();

        for item in text.split(',').map(str::trim) {
            let name = if let Some((number, window)) = item.split_once('/') {
                *self.window(window).ok_or(LimitsError)? = match number {
                    "none" => None,
                    number => Some(positive(number)?),
                };
                window
            } else {
                let (name, number) = item.split_once('=').ok_or(LimitsError)?;
                match name {
                    "symbols" => self.max_symbols = positive(number)?,
                    "concurrent" => self.max_concurrent = positive(number)?,
                    _ => return Err(LimitsError),
                }
                name
            };

            if named.contains(&name) {
                return Err(LimitsError);
            }
            named.push(name);
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
        .ok_or(LimitsError)
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
            assert_eq!(Limits::unlimited(1).with(text), Err(LimitsError), "{text}");
        }
    }
}
