//! The function's answer, which may name the records that failed.

use std::collections::HashMap;

use serde::Deserialize;

use super::batch::Batch;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    batch_item_failures: Option<Vec<Failure>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    item_identifier: ItemIdentifier,
}

#[derive(Debug, Deserialize)]
struct ItemIdentifier {
    /// As `prices-0`. An older version of AWS's documentation has the other name.
    #[serde(alias = "topic-partition")]
    partition: String,
    offset: i64,
}

/// Returns the numbers of the failed records, ascending. Returns `None` if the answer cannot be
/// read or names a record that was not sent. AWS treats the whole batch as failed then.
pub(super) fn failures(
    answer: &[u8],
    batch: &Batch,
    topic: &str,
    sent: &[usize],
) -> Option<Vec<usize>> {
    let response = match answer {
        b"" => Response::default(),
        answer => serde_json::from_slice::<Option<Response>>(answer)
            .ok()?
            .unwrap_or_default(),
    };

    let named = response.batch_item_failures.unwrap_or_default();
    if named.is_empty() {
        return Some(Vec::new());
    }

    let by_name = batch
        .ranges()
        .map(|(records, range)| (format!("{topic}-{}", records.partition), range));
    let ranges: HashMap<String, _> = by_name.collect();

    let number_of = |item: &ItemIdentifier| {
        let range = ranges.get(&item.partition)?;
        let (records, _) = batch.record(range.start)?;
        let place = records
            .records
            .binary_search_by_key(&item.offset, |record| record.offset)
            .ok()?;

        let number = range.start + place;
        sent.binary_search(&number).ok().map(|_| number)
    };

    let mut failed = named
        .iter()
        .map(|failure| number_of(&failure.item_identifier))
        .collect::<Option<Vec<_>>>()?;
    failed.sort_unstable();
    failed.dedup();
    Some(failed)
}

#[cfg(test)]
mod tests;
