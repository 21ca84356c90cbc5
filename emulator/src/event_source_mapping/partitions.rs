//! Which partitions belong to which lane.

use rdkafka::TopicPartitionList;

/// Returns the lane of a partition if there are `lanes` of them.
pub(super) fn lane_of(partition: i32, lanes: usize) -> usize {
    usize::try_from(partition).unwrap_or(0) % lanes.max(1)
}

/// Returns those of the given partitions that `meant` selects.
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
