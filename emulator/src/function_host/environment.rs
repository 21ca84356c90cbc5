//! The environment in which a function runs. It contains few of the emulator's own variables, so
//! that nothing works here by accident.

use std::collections::BTreeMap;
use std::ffi::OsString;

use crate::template::FunctionDefinition;

/// Variables of the machine that a function may need.
const INHERITED: [&str; 21] = [
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "RUST_LOG",
    "RUST_BACKTRACE",
    "RUST_LIB_BACKTRACE",
    "LLVM_PROFILE_FILE",
];

/// Hosts that are reached without a proxy: this machine.
const LOOPBACK: &str = "127.0.0.1,localhost";

/// The region and credentials for the AWS SDK. The emulator's endpoints accept any credentials, and
/// real ones do not belong in a local process.
pub(crate) const OF_AWS: [(&str, &str); 6] = [
    ("AWS_REGION", "us-east-1"),
    ("AWS_DEFAULT_REGION", "us-east-1"),
    ("AWS_ACCESS_KEY_ID", "local"),
    ("AWS_SECRET_ACCESS_KEY", "local"),
    ("AWS_SESSION_TOKEN", "local"),
    ("AWS_EC2_METADATA_DISABLED", "true"),
];

const LOG_STREAM: &str = "AWS_LAMBDA_LOG_STREAM_NAME";

/// The variable, with its value, that identifies the processes of one instance. No other instance
/// has the same value.
pub(super) fn mark(instance: &str) -> String {
    format!("{LOG_STREAM}={}", log_stream(instance))
}

fn log_stream(instance: &str) -> String {
    format!("[$LATEST]{instance}")
}

/// The variables of one instance of `function`. Its Runtime API is at `runtime_api`.
pub(super) fn of_instance(
    function: &FunctionDefinition,
    overrides: &BTreeMap<String, String>,
    runtime_api: String,
    instance: &str,
) -> BTreeMap<OsString, OsString> {
    #[expect(
        clippy::disallowed_methods,
        reason = "passed on unread to the functions' processes"
    )]
    let inherited = |name: &str| std::env::var_os(name);

    let mut variables: BTreeMap<OsString, OsString> = INHERITED
        .iter()
        .filter_map(|name| Some((OsString::from(name), inherited(name)?)))
        .collect();

    for name in ["NO_PROXY", "no_proxy"] {
        let hosts = variables.entry(name.into()).or_default();
        if !hosts.is_empty() {
            hosts.push(",");
        }
        hosts.push(LOOPBACK);
    }

    let declared = function
        .environment
        .iter()
        .chain(overrides)
        .map(|(name, value)| (name.into(), value.into()));
    variables.extend(declared);
    variables.extend(of_lambda(function, runtime_api, instance));

    variables
}

fn of_lambda(
    function: &FunctionDefinition,
    runtime_api: String,
    instance: &str,
) -> impl Iterator<Item = (OsString, OsString)> {
    let name = function.name.clone();
    [
        ("AWS_LAMBDA_RUNTIME_API", runtime_api),
        ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{name}")),
        (LOG_STREAM, log_stream(instance)),
        ("AWS_LAMBDA_FUNCTION_NAME", name),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
        (
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
            function.memory_mb.to_string(),
        ),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
        ("_HANDLER", "bootstrap".to_owned()),
    ]
    .into_iter()
    .chain(OF_AWS.map(|(name, value)| (name, value.to_owned())))
    .map(|(name, value)| (name.into(), value.into()))
}
