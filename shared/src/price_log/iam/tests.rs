use super::*;

/// Midnight of 26 November 2025 (UTC).
const NOW: Duration = Duration::from_secs(1_764_115_200);

/// The address in a token that is signed at [`NOW`] and valid for 15 minutes.
fn address(session_token: Option<&str>) -> String {
    let session_token = session_token.map(str::to_owned);
    let credentials = Credentials::new("AKIDEXAMPLE", "s3cret/key", session_token, None, "test");

    let token = signed("eu-west-1", credentials, SystemTime::UNIX_EPOCH + NOW).unwrap();
    assert_eq!(
        token.lifetime_ms,
        i64::try_from((NOW.as_secs() + 900) * 1_000).unwrap()
    );
    String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(token.token).unwrap()).unwrap()
}

/// The expected addresses, except for their ends, are those of AWS's own signer for Python at that
/// time.
#[test]
fn a_token_is_the_one_of_aws_s_own_signer() {
    let own = "https://kafka.eu-west-1.amazonaws.com/?Action=kafka-cluster%3AConnect\
        &X-Amz-Algorithm=AWS4-HMAC-SHA256\
        &X-Amz-Credential=AKIDEXAMPLE%2F20251126%2Feu-west-1%2Fkafka-cluster%2Faws4_request\
        &X-Amz-Date=20251126T000000Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host\
        &X-Amz-Signature=f34ea8db808a0bb30a980587cecd9bec5a3e5bd31d993fcfba2e1ea96ac1fc8b";
    assert_eq!(
        address(None),
        format!(
            "{own}&User-Agent=market-data%2F{}",
            env!("CARGO_PKG_VERSION")
        )
    );
}

#[test]
fn a_role_s_session_is_part_of_what_is_signed() {
    let address = address(Some("sess+ion/token=="));
    let signed = "&X-Amz-Signature=33883cc0abc07a5475bee5ec5913f3ab05d15e2b2d86bad1e5178d36ccdcd276&\
        X-Amz-Security-Token=sess%2Bion%2Ftoken%3D%3D&";
    assert!(address.contains(signed), "{address}");
}
