//! Reads the body of a request, up to a limit.

use std::error::Error;

use axum::body::{Body, Bytes, to_bytes};
use http_body_util::LengthLimitError;

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It is larger than the limit.
    TooLarge,
    /// It did not arrive completely: the connection broke, or the encoding is malformed.
    Incomplete,
}

/// Reads a body of at most `limit` bytes.
pub(crate) async fn read(body: Body, limit: usize) -> Result<Bytes, Unread> {
    to_bytes(body, limit).await.map_err(|error| {
        let too_large = error
            .source()
            .is_some_and(<dyn Error>::is::<LengthLimitError>);

        if too_large {
            Unread::TooLarge
        } else {
            Unread::Incomplete
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_that_breaks_off_is_not_called_too_large() {
        let pieces = [Ok(Bytes::from("{}")), Err(std::io::Error::other("reset"))];
        let broken = Body::from_stream(futures::stream::iter(pieces));
        assert_eq!(read(broken, 9).await, Err(Unread::Incomplete));

        assert_eq!(
            read(Body::from("0123456789"), 9).await,
            Err(Unread::TooLarge)
        );
        assert_eq!(read(Body::from("{}"), 9).await, Ok(Bytes::from("{}")));
    }
}
