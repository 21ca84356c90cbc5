//! The template's schedule groups on a scheduler of the user's own: the emulator creates them
//! there, as CloudFormation would.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::json;
use tokio::time::sleep;
use uuid::Uuid;

use super::prepare::Addresses;
use crate::announcements::Announcements;
use crate::template::Template;

const ATTEMPTS: u32 = 5;
const BETWEEN_ATTEMPTS: Duration = Duration::from_secs(1);
/// AWS emulators read from it which of their services is meant. None checks the signature.
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/scheduler/aws4_request, \
                             SignedHeaders=host, Signature=none";

/// Creates the groups if the functions use another scheduler than this emulator's, which already
/// has them. Without the groups no job can be created; that is their only use.
pub(super) async fn make_elsewhere(
    template: &Template,
    addresses: &Addresses,
    client: &Client,
    announcements: Announcements,
) {
    let (Some(own), Some(used)) = (&addresses.scheduler, &addresses.scheduler_of_functions) else {
        return;
    };

    if own == used {
        return;
    }

    if let Err(error) = ensure(&template.schedule_groups, used, client).await {
        announcements.warning(&format!(
            "AWS_ENDPOINT_URL_SCHEDULER: {error:#}. Polling jobs cannot be made there."
        ));
    }
}

/// Creates the groups that are missing on the `scheduler`, which may still be starting.
async fn ensure(groups: &[String], scheduler: &str, client: &Client) -> anyhow::Result<()> {
    for group in groups {
        let mut attempt = 1;
        while let Err(error) = make_if_missing(group, scheduler, client).await {
            if attempt == ATTEMPTS {
                return Err(error.context(format!(
                    "cannot make the schedule group {group} at {scheduler}"
                )));
            }

            attempt += 1;
            sleep(BETWEEN_ATTEMPTS).await;
        }
    }
    Ok(())
}

/// Creates the group only if a look-up does not find it: in some emulators, a group that is created
/// again loses its schedules.
async fn make_if_missing(group: &str, scheduler: &str, client: &Client) -> anyhow::Result<()> {
    let url = format!(
        "{}/schedule-groups/{group}",
        scheduler.trim_end_matches('/')
    );

    match send(client.get(&url)).await? {
        StatusCode::NOT_FOUND => {}
        status if status.is_success() => return Ok(()),
        status => anyhow::bail!("it answers {status}"),
    }

    let body = json!({ "ClientToken": Uuid::new_v4() }).to_string();

    match send(
        client
            .post(&url)
            .header("content-type", "application/json")
            .body(body),
    )
    .await?
    {
        // A conflict means that another client created it in the meantime.
        status if status.is_success() || status == StatusCode::CONFLICT => Ok(()),
        status => anyhow::bail!("it answers {status}"),
    }
}

async fn send(request: RequestBuilder) -> anyhow::Result<StatusCode> {
    let response = request.header("authorization", AUTHORIZATION).send().await;
    Ok(response.context("it does not answer")?.status())
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn only_a_missing_group_is_made_and_a_refusal_is_told() {
        let ok = || async { StatusCode::OK };
        let missing = || async { StatusCode::NOT_FOUND };
        let refuse = || async { StatusCode::BAD_REQUEST };

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheduler = format!("http://{}/", listener.local_addr().unwrap());

        let router = Router::new()
            .route("/schedule-groups/here", get(ok).post(refuse))
            .route("/schedule-groups/new", get(missing).post(ok))
            .route("/schedule-groups/bad", get(missing).post(refuse));
        tokio::spawn(async move { axum::serve(listener, router).await });

        let client = Client::new();

        ensure(&["here".to_owned(), "new".to_owned()], &scheduler, &client)
            .await
            .unwrap();

        let refusal = make_if_missing("bad", &scheduler, &client)
            .await
            .unwrap_err()
            .to_string();
        assert_eq!(refusal, "it answers 400 Bad Request");
    }
}
