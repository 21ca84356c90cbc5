//! Another AWS emulator in the scheduler's place. It never fires; the test shows that the
//! functions' use of EventBridge Scheduler does not depend on the implementation.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use e2e::binaries::workspace;
use e2e::stack::{Options, Stack};
use e2e::waiting::until;
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

/// moto's server, which is stopped when this is dropped.
struct Moto {
    url: String,
    server: Child,
    client: reqwest::Client,
}

impl Moto {
    async fn start() -> Self {
        let program = workspace().join("target/moto/bin/moto_server");
        assert!(
            program.is_file(),
            "{} is missing; tools/moto/install installs it",
            program.display()
        );

        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();

        let server = Command::new(program)
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();

        let client = reqwest::Client::builder().no_proxy().build().unwrap();

        let moto = Self {
            url: format!("http://127.0.0.1:{port}"),
            server,
            client,
        };

        until("moto", Duration::from_secs(60), async || {
            moto.client.get(&moto.url).send().await.ok()
        })
        .await;

        moto
    }

    async fn request(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.url))
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/scheduler/aws4_request, \
             SignedHeaders=host, Signature=none",
            );

        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }

        let response = request.send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {text}");

        serde_json::from_str(&text).unwrap_or_default()
    }

    /// The names of the schedules in the group of the polling jobs, sorted.
    async fn schedules(&self) -> Vec<String> {
        let path = "/schedules?ScheduleGroup=market-data-polling";
        let listed = self.request(Method::GET, path, None).await;
        let schedules = listed["Schedules"].as_array().unwrap();

        let mut names: Vec<_> = schedules
            .iter()
            .map(|schedule| schedule["Name"].as_str().unwrap().to_owned())
            .collect();

        names.sort();
        names
    }

    async fn schedule(&self, name: &str) -> Value {
        self.request(
            Method::GET,
            &format!("/schedules/{name}?groupName=market-data-polling"),
            None,
        )
        .await
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _gone = self.server.kill();
        let _collected = self.server.wait();
    }
}

#[tokio::test]
#[ignore = "needs moto's server: tools/moto/install, then cargo test --test scenarios -- --ignored another_scheduler"]
async fn jobs_have_their_schedules_on_a_scheduler_of_others_and_upkeep_mends_them_there() {
    let moto = Moto::start().await;
    let data = tempfile::tempdir().unwrap();
    let environment = [("AWS_ENDPOINT_URL_SCHEDULER", moto.url.as_str())];
    let start = async || {
        let options = Options {
            data_directory: data.path().into(),
            environment: &environment,
            flags: &[],
        };
        Stack::start(options).await.unwrap()
    };

    let stack = start().await;
    let job = stack.poll(&["AAPL"], 120).await;
    let deleted = stack.poll(&["IBM"], 180).await;

    let mut both = [job.clone(), deleted.clone()];
    both.sort();
    assert_eq!(moto.schedules().await, both);

    let schedule = moto.schedule(&job).await;
    assert_eq!(
        schedule["ScheduleExpression"], "rate(2 minutes)",
        "{schedule}"
    );
    assert_eq!(
        schedule["Target"]["Input"],
        format!(r#"{{"job_id":"{job}","scheduled_time":"<aws.scheduler.scheduled-time>"}}"#)
    );

    let (_, state) = stack.get(&format!("/prices/poll/{job}")).await;
    assert_eq!(
        (&state["status"], &state["last_run"]),
        (&"active".into(), &Value::Null),
        "{state}"
    );

    let path = format!("/prices/poll/{deleted}");
    assert_eq!(stack.request(Method::DELETE, &path, None).await.0, 204);
    assert_eq!(moto.schedules().await, [job.as_str()]);

    // Jobs of other intervals share the schedule of a relay.
    stack.poll(&["IBM"], 10).await;
    stack.poll(&["MSFT"], 90).await;
    assert_eq!(moto.schedules().await, [job.as_str(), "relay-1"]);

    // A job loses its schedule, and a schedule its job: the next start's upkeep repairs both.
    assert_eq!(stack.stop(Signal::SIGTERM).await, Some(0));
    let path = format!("/schedules/{job}?groupName=market-data-polling");
    moto.request(Method::DELETE, &path, None).await;

    let orphan = Uuid::now_v7();
    let like = json!({
        "GroupName": "market-data-polling",
        "ScheduleExpression": "rate(1 minute)",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"Arn": schedule["Target"]["Arn"], "RoleArn": schedule["Target"]["RoleArn"]},
    });

    let path = format!("/schedules/{orphan}");
    moto.request(Method::POST, &path, Some(like.clone())).await;
    moto.request(Method::POST, "/schedules/nightly-report", Some(like))
        .await;

    let stack = start().await;

    assert_eq!(
        moto.schedules().await,
        [job.as_str(), "nightly-report", "relay-1"]
    );
    assert_eq!(stack.get(&format!("/prices/poll/{job}")).await.0, 200);
}
