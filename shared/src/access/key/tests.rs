use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn key() -> Key {
    Key::from_random(0..=255).unwrap()
}

#[test]
fn a_key_has_the_documented_form_and_is_read_back() {
    let text = key().expose();
    let parts: Vec<&str> = text.split('_').collect();

    assert_eq!(parts[0], "mdp");
    assert_eq!((parts[1].len(), parts[2].len()), (8, 32 + 6));
    assert_eq!(text.parse(), Ok(key()));
    assert_eq!(parts[1], key().id().as_str());
}

#[test]
fn every_misspelt_character_is_noticed_by_the_checksum() {
    let text = key().expose();
    for at in 0..text.len() {
        for other in ALPHABET.iter().chain(b"_0OIl. ") {
            let mut misspelt = text.clone().into_bytes();
            if misspelt[at] == *other {
                continue;
            }
            misspelt[at] = *other;

            let misspelt = String::from_utf8(misspelt).unwrap();
            assert_eq!(misspelt.parse::<Key>(), Err(KeyError), "{misspelt}");
        }
    }
}

#[test]
fn what_is_no_key_is_refused() {
    let text = key().expose();
    for other in [
        String::new(),
        "mdp_".to_owned(),
        text.to_uppercase(),
        text.to_lowercase(),
        format!(" {text}"),
        format!("{text} "),
        format!("{text}1"),
        text[..text.len() - 1].to_owned(),
        format!("Bearer {text}"),
        format!("{text},{text}"),
        "ä".repeat(26),
    ] {
        assert_eq!(other.parse::<Key>(), Err(KeyError), "{other}");
    }
}

#[test]
fn a_digest_is_that_of_its_own_secret_only() {
    let (ours, other) = (key(), Key::from_random((0..=255).rev()).unwrap());

    assert!(ours.digest().is_of(&ours));
    assert!(!ours.digest().is_of(&other));
    let stored = SecretDigest::from_stored(ours.digest().as_bytes()).unwrap();
    assert!(stored.is_of(&ours));
    assert_eq!(SecretDigest::from_stored(b"short"), None);
}

#[test]
fn nothing_shows_the_secret() {
    let (key, text) = (key(), key().expose());
    let secret = &text[13..45];

    let first = FirstKey {
        id: key.id(),
        digest: key.digest(),
    };
    for shown in [
        format!("{key:?}"),
        format!("{:?}", key.digest()),
        format!("{first:?} {first}"),
    ] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn the_first_key_is_told_by_its_digest() {
    let first = FirstKey {
        id: key().id(),
        digest: key().digest(),
    };
    let text = first.to_string();

    assert_eq!(text.len(), 8 + 1 + 64);
    assert_eq!(text.parse(), Ok(first.clone()));
    for other in [
        "",
        ":",
        &text[1..],
        &text[..72],
        &key().expose(),
        &format!("{text}0"),
    ] {
        assert_eq!(other.parse::<FirstKey>(), Err(KeyError), "{other}");
    }
}

#[test]
fn too_few_random_bytes_make_no_key() {
    assert_eq!(Key::from_random(std::iter::repeat_n(0, 39)), None);
    assert_eq!(Key::from_random(std::iter::repeat_n(63, 1_000)), None);
    assert!(Key::from_random(std::iter::repeat_n(0, 40)).is_some());
}

proptest! {
    #[test]
    fn any_key_is_read_back_and_any_text_is_read_without_a_panic(
        bytes in vec(any::<u8>(), 200), text in ".{0,80}"
    ) {
        if let Some(key) = Key::from_random(bytes) {
            prop_assert_eq!(key.expose().parse(), Ok(key));
        }
        let _ = text.parse::<Key>();
        let _ = text.parse::<FirstKey>();
    }
}
