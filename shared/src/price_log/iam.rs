//! MSK's IAM: a token signed with the credentials that every AWS SDK finds, good for a quarter of an hour.

use std::error::Error;
use std::ffi::{CStr, CString};
use std::ptr;

use rdkafka::bindings::rd_kafka_oauthbearer_set_token;
use rdkafka::client::{Client, ClientContext, OAuthToken};
use rdkafka::types::RDKafkaRespErr;

/// A token for the clusters of a region. It blocks, so never on a thread that serves futures.
#[cfg(feature = "deployed")]
pub(super) fn token(region: &str) -> Result<OAuthToken, Box<dyn Error>> {
    let region = aws_config::Region::new(region.to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (token, lifetime_ms) = runtime.block_on(aws_msk_iam_sasl_signer::generate_auth_token(region))?;
    Ok(OAuthToken { token, principal_name: String::new(), lifetime_ms })
}

/// Never asked for: the configuration refuses IAM in such a build.
#[cfg(not(feature = "deployed"))]
pub(super) fn token(_region: &str) -> Result<OAuthToken, Box<dyn Error>> {
    Err("this build does not speak TLS".into())
}

/// Hands a token to a client that is never asked for one, as rdkafka's admin client is not. It blocks, too.
#[expect(unsafe_code, reason = "rdkafka has no call of its own for this one of librdkafka's")]
pub(super) fn log_in<C: ClientContext>(client: &Client<C>, region: &str) -> Result<(), Box<dyn Error>> {
    let OAuthToken { token, principal_name, lifetime_ms } = token(region)?;
    let (token, principal) = (CString::new(token)?, CString::new(principal_name)?);
    let mut refusal = [0; 256];
    // SAFETY: the client lives; both texts end with NUL and are copied; there are no extensions; the refusal is
    // written into a buffer of the size told.
    let code = unsafe {
        rd_kafka_oauthbearer_set_token(
            client.native_ptr(),
            token.as_ptr(),
            lifetime_ms,
            principal.as_ptr(),
            ptr::null_mut(),
            0,
            refusal.as_mut_ptr(),
            refusal.len(),
        )
    };
    if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    // C's characters are signed on one processor and not on another.
    let refusal = refusal.map(|character| u8::from_ne_bytes(character.to_ne_bytes()));
    Err(CStr::from_bytes_until_nul(&refusal)?.to_string_lossy().into())
}
