//! The settings of new topics, and the comparison of existing topics with them.

use rdkafka::admin::{ConfigResource, NewTopic, TopicReplication};

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;
/// How far a price event's time may be ahead of the broker's clock. Prices from a clock further
/// ahead would count as the newest until that time has come.
const LATEST_AHEAD: i64 = 300_000;

const MIN_IN_SYNC: &str = "min.insync.replicas";
const RETENTION: &str = "retention.ms";
const AHEAD: &str = "message.timestamp.after.max.ms";
const TIME_KIND: &str = "message.timestamp.type";

/// A topic that should exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topic<'a> {
    /// Its name.
    pub name: &'a str,
    /// Number of partitions when it is created.
    pub partitions: i32,
    /// How many days records are kept.
    pub retention_days: u32,
    /// Whether records from clocks that are ahead are refused.
    pub bounds_times: bool,
}

/// The settings of a topic with a certain number of replicas, in Kafka's notation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    copies: i32,
    min_in_sync: String,
    retention: String,
    ahead: Option<String>,
}

impl Settings {
    /// With three replicas, two must have a record before it is acknowledged: the loss of one
    /// replica loses no record, and stops no producer.
    pub(super) fn new(topic: &Topic<'_>, copies: i32) -> Self {
        Self {
            copies,
            min_in_sync: min_in_sync(copies).to_string(),
            retention: (i64::from(topic.retention_days) * DAY).to_string(),
            ahead: topic.bounds_times.then(|| LATEST_AHEAD.to_string()),
        }
    }

    /// The settings without those that brokers before 3.6 do not know.
    pub(super) fn for_older_brokers(self) -> Self {
        Self {
            ahead: None,
            ..self
        }
    }

    /// The definition of the topic to create.
    pub(super) fn apply<'a>(&'a self, topic: &Topic<'a>) -> NewTopic<'a> {
        let new = NewTopic::new(
            topic.name,
            topic.partitions,
            TopicReplication::Fixed(self.copies),
        )
        .set(MIN_IN_SYNC, &self.min_in_sync)
        .set(RETENTION, &self.retention)
        .set("compression.type", "producer");

        match &self.ahead {
            Some(ahead) => new.set(AHEAD, ahead),
            None => new,
        }
    }
}

fn min_in_sync(copies: i32) -> i64 {
    if copies >= 3 { 2 } else { 1 }
}

/// Where an existing topic with this number of replicas is weaker than a new one.
pub(super) fn shortcomings(topic: &Topic<'_>, copies: i32, is: &ConfigResource) -> Vec<String> {
    let text = |name: &str| is.get(name).and_then(|entry| entry.value.as_deref());
    let number = |name: &str| text(name).and_then(|value| value.parse::<i64>().ok());

    let mut found = Vec::new();
    let mut tell = |name: &str, value: i64, wanted: i64| {
        found.push(format!("{name} of {} is {value}, not {wanted}", topic.name));
    };

    let wanted = min_in_sync(copies);
    if let Some(value) = number(MIN_IN_SYNC).filter(|value| *value < wanted) {
        tell(MIN_IN_SYNC, value, wanted);
    }

    let wanted = i64::from(topic.retention_days) * DAY;
    if let Some(value) = number(RETENTION).filter(|value| (0..wanted).contains(value)) {
        tell(RETENTION, value, wanted);
    }

    // If the broker sets the times, none comes from another clock.
    let own_times = topic.bounds_times && text(TIME_KIND) != Some("LogAppendTime");
    if let Some(value) = number(AHEAD).filter(|value| own_times && *value > LATEST_AHEAD) {
        tell(AHEAD, value, LATEST_AHEAD);
    }

    found
}

#[cfg(test)]
mod tests;
