//! One combination of symbols, batch, delivery and connections.

use std::fmt;

use crate::feed::Delivery;

#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) symbols: usize,
    pub(super) batch: usize,
    pub(super) delivery: Delivery,
    pub(super) connections: u32,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            symbols,
            batch,
            delivery,
            connections,
        } = self;

        write!(
            f,
            "{symbols} symbols, batch {batch}, {}, {connections} conn.",
            delivery.describe()
        )
    }
}

impl Case {
    /// Every combination; in a quick run only those that have thresholds.
    pub(super) fn all(symbols: usize, delivery: Delivery, quick: bool) -> Vec<Self> {
        let mut cases = Vec::new();
        for connections in if quick { vec![1] } else { vec![1, 4] } {
            for batch in [100, 1_000, 10_000] {
                let held = delivery == Delivery::Clean || symbols == 5_000 && batch > 100;
                if held || !quick {
                    cases.push(Self {
                        symbols,
                        batch,
                        delivery,
                        connections,
                    });
                }
            }
        }

        cases
    }
}
