use super::*;

fn stranger() -> Account {
    Account {
        name: "stranger".to_owned(),
        uid: Uid::from_raw(54_321),
        gid: Gid::from_raw(54_321),
    }
}

#[test]
fn data_that_the_user_cannot_reach_is_kept_elsewhere_and_always_at_the_same_place() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();

    let elsewhere = home(directory.path(), Some(&stranger()));

    assert!(!elsewhere.starts_with(directory.path()));
    assert_eq!(elsewhere, home(directory.path(), Some(&stranger())));
    assert!(home(directory.path(), None).starts_with(directory.path()));
}

#[test]
fn data_that_the_user_can_reach_stays_in_the_data_directory() {
    assert_eq!(
        home(Path::new("/"), Some(&stranger())),
        Path::new("/postgres")
    );
}
