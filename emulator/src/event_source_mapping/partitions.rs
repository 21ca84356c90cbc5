//! Which partitions belong to which lane.

use rdkafka::TopicPartitionList;

/// The lane of a partition, of so many lanes.
pub(super) fn lane_of(partition: i32, lanes: usize) -> usize {
    usize::try_from(partition).unwrap_or(0) % lanes.max(1)
}

/// The partitions that are meant, of those given.
pub(super) fn only(
    partitions: &TopicPartitionList,
    meant: impl Fn(i32) -> bool,
) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for element in partitions
        .elements()
        .iter()
        .filter(|element| meant(element.partition()))
    {
        list.add_partition(element.topic(), element.partition());
    }
    list
}
