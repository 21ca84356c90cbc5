//! MSK's IAM: a token signed with the credentials of the AWS SDK, valid for 15 minutes.

use std::error::Error;
use std::ffi::{CStr, CString};
use std::ptr;
use std::time::{Duration, SystemTime};

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rdkafka::bindings::rd_kafka_oauthbearer_set_token;
use rdkafka::client::{Client, ClientContext, OAuthToken};
use rdkafka::types::RDKafkaRespErr;
use reqwest::Url;

/// Lifetime of a token, the longest that MSK allows.
const LIFETIME: Duration = Duration::from_secs(15 * 60);
/// The client's name in MSK's log; it is not part of the signature.
const USER_AGENT: &str = concat!("market-data/", env!("CARGO_PKG_VERSION"));

/// A token for the clusters of a region. This blocks, so it must not run on a thread that polls
/// futures.
pub(super) fn token(region: &str) -> Result<OAuthToken, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let credentials = runtime.block_on(credentials(region))?;
    signed(region, credentials, SystemTime::now())
}

/// The credentials that the SDK finds; in Lambda those of the function's role.
async fn credentials(region: &str) -> Result<Credentials, Box<dyn Error>> {
    // A separate HTTP client, because connections end with the runtime that opened them.
    let http = aws_http::client();
    let sdk =
        aws_config::defaults(BehaviorVersion::latest()).region(Region::new(region.to_owned()));

    let sdk = sdk.http_client(http).load().await;
    let provider = sdk
        .credentials_provider()
        .ok_or("no credentials are configured")?;
    Ok(provider.provide_credentials().await?)
}

/// The signed address of a connection to MSK, in base64.
fn signed(
    region: &str,
    credentials: Credentials,
    now: SystemTime,
) -> Result<OAuthToken, Box<dyn Error>> {
    let endpoint = format!("https://kafka.{region}.amazonaws.com/");
    let mut address = Url::parse_with_params(&endpoint, [("Action", "kafka-cluster:Connect")])?;

    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(LIFETIME);

    let identity = credentials.into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("kafka-cluster")
        .time(now)
        .settings(settings)
        .build()?;

    let request = SignableRequest::new(
        "GET",
        address.as_str(),
        std::iter::empty(),
        SignableBody::Bytes(&[]),
    )?;
    let (instructions, _) = sign(request, &parameters.into())?.into_parts();

    for (name, value) in instructions.params() {
        address.query_pairs_mut().append_pair(name, value);
    }

    // Added after signing: the signature does not cover the user agent.
    address
        .query_pairs_mut()
        .append_pair("User-Agent", USER_AGENT);

    let expiry = now.duration_since(SystemTime::UNIX_EPOCH)? + LIFETIME;
    Ok(OAuthToken {
        token: BASE64_URL_SAFE_NO_PAD.encode(address.as_str()),
        principal_name: String::new(),
        lifetime_ms: i64::try_from(expiry.as_millis())?,
    })
}

/// Gives a token to a client that never asks for one, such as rdkafka's admin client. This blocks,
/// as [`token`] does.
#[expect(
    unsafe_code,
    reason = "rdkafka has no call of its own for this one of librdkafka's"
)]
pub(super) fn log_in<C: ClientContext>(
    client: &Client<C>,
    region: &str,
) -> Result<(), Box<dyn Error>> {
    let OAuthToken {
        token,
        principal_name,
        lifetime_ms,
    } = token(region)?;
    let (token, principal) = (CString::new(token)?, CString::new(principal_name)?);

    let mut refusal = [0; 256];
    // SAFETY: the client is alive; both texts end with NUL and are copied; there are no extensions;
    // the refusal is written into a buffer of the given size.
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
    // C's `char` is signed on some processors and unsigned on others.
    let refusal = refusal.map(|character| u8::from_ne_bytes(character.to_ne_bytes()));
    Err(CStr::from_bytes_until_nul(&refusal)?
        .to_string_lossy()
        .into())
}

#[cfg(test)]
mod tests;
