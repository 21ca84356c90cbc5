use super::*;

#[test]
fn a_batch_leaves_the_next_version_and_its_own_token_at_each_fence() {
    let (another, own) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let found = [
        (
            3,
            Mark {
                version: 7,
                token: another,
            },
        ),
        (
            5,
            Mark {
                version: 0,
                token: another,
            },
        ),
    ];

    let left: Vec<(i32, Mark)> = passed(&Marks::from(found), own).collect();

    assert_eq!(
        left,
        [
            (
                3,
                Mark {
                    version: 8,
                    token: own
                }
            ),
            (
                5,
                Mark {
                    version: 1,
                    token: own
                }
            )
        ]
    );
}
