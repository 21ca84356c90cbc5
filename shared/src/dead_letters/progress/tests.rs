use super::*;

fn of(done: &[i64]) -> Progress {
    let mut progress = Progress::from(10);
    done.iter().for_each(|offset| progress.done(*offset));
    progress
}

#[test]
fn what_is_done_without_a_gap_moves_the_offset_and_the_rest_stands_in_ranges() {
    let progress = of(&[10, 12, 14, 13, 11, 20, 17, 18]);

    assert_eq!(
        (progress.next(), progress.metadata().as_str()),
        (15, "17-18,20-20")
    );

    let held: Vec<i64> = (0..25)
        .filter(|offset| !progress.contains(*offset))
        .collect();
    assert_eq!(held, [15, 16, 19, 21, 22, 23, 24]);
}

#[test]
fn it_reads_back_as_it_was_committed() {
    let progress = of(&[12, 13, 20]);
    assert_eq!(
        Progress::read(progress.next(), &progress.metadata()),
        progress
    );
    assert_eq!(Progress::read(10, "not ours, 3-x"), Progress::from(10));
}

#[test]
fn metadata_stays_within_kafka_s_limit_by_forgetting_the_latest_ranges() {
    let progress = of(&(0..2_000)
        .map(|number| 100 + 2 * number)
        .collect::<Vec<_>>());

    let metadata = progress.metadata();
    assert!(metadata.len() <= MAX_METADATA && metadata.len() > MAX_METADATA - 20);

    let read = Progress::read(progress.next(), &metadata);
    assert!(read.contains(100) && !read.contains(101));
}
