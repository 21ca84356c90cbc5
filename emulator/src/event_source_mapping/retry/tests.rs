use super::*;

const BISECT: RetryLimits = RetryLimits {
    max_retry_attempts: Some(3),
    bisect_on_error: true,
};
const WHOLE: RetryLimits = RetryLimits {
    max_retry_attempts: Some(3),
    bisect_on_error: false,
};

/// More steps than any plan here takes.
const MOST_STEPS: usize = 1_000;

/// Plays a whole batch against a function that fails on any of `poison`. Returns what passed, what
/// was discarded, and the size of each invocation.
fn play(
    count: usize,
    limits: RetryLimits,
    poison: &[usize],
) -> (Vec<usize>, Vec<usize>, Vec<usize>) {
    let (mut passed, mut discarded, mut sizes) = (Vec::new(), Vec::new(), Vec::new());
    let mut plan = RetryPlan::new(count, limits);

    for _ in 0..MOST_STEPS {
        match plan.step() {
            Step::Done => return (passed, discarded, sizes),
            Step::Discard { records, .. } => discarded.extend_from_slice(records),
            Step::Invoke { records, .. } => {
                sizes.push(records.len());
                if records.iter().any(|record| poison.contains(record)) {
                    plan.failed();
                    continue;
                }
                passed.extend_from_slice(records);
            }
        }

        plan.resolved();
    }

    panic!("the plan does not end");
}

#[test]
fn a_batch_that_succeeds_is_invoked_once() {
    assert_eq!(play(5, BISECT, &[]), (vec![0, 1, 2, 3, 4], vec![], vec![5]));
}

#[test]
fn an_empty_batch_is_done() {
    assert_eq!(RetryPlan::new(0, BISECT).step(), Step::Done);
}

#[test]
fn splitting_isolates_each_poison_record_and_lets_its_neighbours_pass_in_order() {
    for poison in [vec![0], vec![9_999], vec![4_321], vec![17, 18, 5_000]] {
        let (passed, discarded, _) = play(10_000, BISECT, &poison);
        assert_eq!(discarded, poison);
        assert_eq!(passed.len(), 10_000 - poison.len());
        assert!(passed.is_sorted());
    }
}

#[test]
fn a_record_alone_is_tried_once_and_then_as_often_as_retries_are_allowed() {
    let (_, discarded, sizes) = play(1, BISECT, &[0]);
    assert_eq!((discarded, sizes), (vec![0], vec![1; 4]));
}

#[test]
fn a_split_uses_up_no_attempt() {
    let (_, discarded, sizes) = play(4, BISECT, &[0]);
    assert_eq!((discarded, sizes), (vec![0], vec![4, 2, 1, 1, 1, 1, 1, 2]));
}

#[test]
fn without_splitting_the_whole_batch_is_tried_again_and_then_discarded() {
    let (passed, discarded, sizes) = play(3, WHOLE, &[1]);
    assert_eq!(
        (passed, discarded, sizes),
        (vec![], vec![0, 1, 2], vec![3; 4])
    );
}

#[test]
fn without_a_limit_nothing_is_ever_discarded() {
    let mut plan = RetryPlan::new(
        1,
        RetryLimits {
            max_retry_attempts: None,
            bisect_on_error: true,
        },
    );

    for _ in 0..100_000 {
        plan.failed();
    }

    assert_eq!(
        plan.step(),
        Step::Invoke {
            records: &[0],
            wait: LONGEST_WAIT
        }
    );
}

#[test]
fn while_nothing_succeeds_only_the_first_record_uses_up_attempts() {
    let mut plan = RetryPlan::new(8, BISECT);

    // Three splits, then as many failures as one record may have. Such an outage loses nothing.
    for _ in 0..3 + 3 {
        plan.failed();
    }

    assert!(matches!(plan.step(), Step::Invoke { records: [0], .. }));

    let mut passed = Vec::new();
    while passed.len() < 8
        && let Step::Invoke { records, .. } = plan.step()
    {
        passed.extend_from_slice(records);
        plan.resolved();
    }

    assert_eq!((passed, plan.step()), ((0..8).collect(), Step::Done));
}

#[test]
fn waits_double_up_to_the_longest() {
    let mut plan = RetryPlan::new(
        1,
        RetryLimits {
            max_retry_attempts: None,
            bisect_on_error: false,
        },
    );

    let mut waits = Vec::new();

    for _ in 0..9 {
        let Step::Invoke { wait, .. } = plan.step() else {
            panic!("discarded")
        };

        waits.push(wait.as_millis());

        plan.failed();
    }

    assert_eq!(waits, [0, 100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000]);
}

#[test]
fn of_a_batch_that_failed_in_part_only_the_failed_records_are_tried_again() {
    let mut plan = RetryPlan::new(6, BISECT);
    plan.partly_failed(vec![1, 4]);

    assert_eq!(plan.first_unresolved(&(0..6)), Some(1));
    assert_eq!(plan.first_unresolved(&(2..6)), Some(4));
    assert!(matches!(
        plan.step(),
        Step::Invoke {
            records: [1, 4],
            ..
        }
    ));

    plan.partly_failed(vec![]);
    assert_eq!(plan.step(), Step::Done);
}

#[test]
fn a_failure_of_all_its_records_is_a_failure_of_the_batch() {
    let mut plan = RetryPlan::new(1, WHOLE);
    for _ in 0..4 {
        plan.partly_failed(vec![0]);
    }

    let discarded = Step::Discard {
        records: &[0],
        condition: Condition::RetriesExhausted,
        attempts: 4,
    };
    assert_eq!(plan.step(), discarded);
}

#[test]
fn records_discarded_come_before_those_that_are_tried() {
    let mut plan = RetryPlan::new(4, BISECT);
    plan.discard(Condition::RecordAgeExceeded, |record| record < 2);

    let discarded = Step::Discard {
        records: &[0, 1],
        condition: Condition::RecordAgeExceeded,
        attempts: 0,
    };
    assert_eq!(plan.step(), discarded);

    plan.resolved();
    assert!(matches!(
        plan.step(),
        Step::Invoke {
            records: [2, 3],
            ..
        }
    ));
}

#[test]
fn records_discarded_after_failures_tell_how_often_they_were_tried() {
    let mut plan = RetryPlan::new(2, WHOLE);
    plan.failed();
    plan.failed();
    plan.discard(Condition::RecordAgeExceeded, |record| record == 1);

    let discarded = Step::Discard {
        records: &[1],
        condition: Condition::RecordAgeExceeded,
        attempts: 2,
    };
    assert_eq!(plan.step(), discarded);
}

#[test]
fn the_first_unresolved_record_may_be_the_first_of_the_range_and_is_never_beyond_it() {
    let mut plan = RetryPlan::new(6, BISECT);
    assert_eq!(plan.first_unresolved(&(0..3)), Some(0));
    assert_eq!(plan.first_unresolved(&(3..6)), Some(3));

    plan.partly_failed(vec![4]);
    assert_eq!(plan.first_unresolved(&(0..4)), None);
    assert_eq!(plan.first_unresolved(&(4..6)), Some(4));
    assert_eq!(plan.first_unresolved(&(5..6)), None);
}

#[test]
fn records_that_are_no_longer_ours_are_forgotten() {
    let mut plan = RetryPlan::new(4, BISECT);
    plan.failed();
    plan.retain(|record| record == 3);
    assert!(matches!(plan.step(), Step::Invoke { records: [3], .. }));
    plan.retain(|_| false);
    assert_eq!(plan.step(), Step::Done);
}

#[test]
fn a_dead_letter_s_condition_is_lambda_s_word_for_it() {
    for (condition, word) in [
        (Condition::RetriesExhausted, "RetriesExhausted"),
        (Condition::RecordAgeExceeded, "RecordAgeExceeded"),
        (
            Condition::MaximumPayloadSizeExceeded,
            "MaximumPayloadSizeExceeded",
        ),
    ] {
        assert_eq!(condition.as_str(), word);
    }
}
