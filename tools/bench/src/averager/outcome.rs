//! The figures of a case's contenders, and how they compare.

use std::collections::BTreeMap;

use super::case::Case;
use super::kind::Kind;
use super::tables::Tables;
use super::writers::{Slice, Writers};
use crate::bench::Bench;
use crate::figures::median;

/// The slices of every contender, one per round.
#[derive(Debug, Default)]
pub(super) struct Outcome(BTreeMap<Kind, Vec<Slice>>);

impl Outcome {
    /// Measures `case` with every contender, in interleaved rounds.
    pub(super) async fn measure(
        case: Case,
        bench: &Bench<'_>,
        tables: &mut Tables,
    ) -> anyhow::Result<Self> {
        let (server, progress) = (&bench.server, bench.progress);
        let (rounds, seconds) = (3, if bench.cli.quick { 0.4 } else { 1.0 });

        // One-by-one storing has no batches, so it is measured once for each delivery and number of
        // connections.
        let kinds = Kind::ALL
            .into_iter()
            .filter(|kind| *kind != Kind::Naive || case.batch == 1_000);

        let mut contenders = Vec::new();
        for kind in kinds {
            progress.tell(format!("averager: {case}: warming up {kind}"));
            let mut writers = Writers::open(case, kind, server, tables).await?;
            let events = writers.calibrate(server, seconds).await?;
            contenders.push((writers, events));
        }

        let mut outcome = Self::default();
        for round in 0..rounds {
            progress.tell(format!("averager: {case}: round {} of {rounds}", round + 1));
            for (writers, events) in &mut contenders {
                let slice = writers.slice(server, *events).await?;
                outcome.0.entry(writers.kind()).or_default().push(slice);
            }
        }

        for (writers, _) in &contenders {
            writers.close(tables);
        }

        Ok(outcome)
    }

    /// The median of a figure over the rounds.
    pub(super) fn median(&self, kind: Kind, figure: impl Fn(&Slice) -> f64) -> f64 {
        median(self.0.get(&kind).into_iter().flatten().map(figure))
    }

    /// The ratio of one contender's figure to another's, round by round.
    pub(super) fn ratios(&self, kind: Kind, to: Kind, figure: impl Fn(&Slice) -> f64) -> Vec<f64> {
        let slices = |kind| self.0.get(&kind).into_iter().flatten();
        slices(kind)
            .zip(slices(to))
            .map(|(one, other)| figure(one) / figure(other))
            .collect()
    }

    /// The speed of `kind` in wall time, as a ratio to `to`; more is faster.
    pub(super) fn wall_ratio(&self, kind: Kind, to: Kind) -> f64 {
        median(self.ratios(kind, to, Slice::rate))
    }

    /// The CPU time of `to` as a ratio to that of `kind`; more is cheaper.
    pub(super) fn cpu_ratio(&self, kind: Kind, to: Kind) -> f64 {
        median(self.ratios(to, kind, Slice::cpu_micros))
    }
}
