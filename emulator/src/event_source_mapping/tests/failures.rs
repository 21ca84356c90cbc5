//! How batches that fail are retried, split and discarded.

use rdkafka::message::{Header, OwnedHeaders};

use super::*;

#[tokio::test]
async fn a_failed_batch_is_tried_again_with_the_same_records() {
    let broker = broker();
    let (servers, function) = (broker.bootstrap_servers(), FakeFunction::open(&["b"]));
    produce(&servers, 0, &["a", "b"]).await;

    let unsplit = EventSourceMapping {
        bisect_on_error: false,
        max_retry_attempts: None,
        ..definition()
    };
    let whole = EventSourceMapping {
        batch_size: 2,
        batching_window: DEADLINE,
        ..unsplit
    };

    let running = Running::start(whole, &servers, &function).await;
    let calls = function.calls(|calls| calls.len() == 3).await;
    assert_eq!(calls, [["a", "b"], ["a", "b"], ["a", "b"]]);

    assert_eq!(committed(&servers, 0).await, None);

    function.poison.lock().unwrap().clear();
    until_committed(&servers, 0, 2).await;

    running.stop().await;
}

#[tokio::test]
async fn a_poison_record_becomes_a_dead_letter_and_its_neighbours_pass() {
    let broker = broker();
    let (servers, function) = (broker.bootstrap_servers(), FakeFunction::open(&["c"]));
    produce(&servers, 0, &["a", "b", "c", "d", "e", "f"]).await;

    let six = EventSourceMapping {
        batch_size: 6,
        batching_window: DEADLINE,
        ..definition()
    };

    let running = Running::start(six, &servers, &function).await;
    until_committed(&servers, 0, 6).await;

    let passed: Vec<String> = function
        .calls(|_| true)
        .await
        .into_iter()
        .filter(|call| !call.contains(&"c".to_owned()))
        .flatten()
        .collect();
    assert_eq!(passed, ["a", "b", "d", "e", "f"]);

    let (key, letter) = dead_letters(&servers, 1).await.remove(0);
    assert_eq!(key, "AAPL");
    assert_eq!(values(&letter["payload"]), ["c"]);
    assert_eq!(letter["requestContext"]["condition"], "RetriesExhausted");
    assert_eq!(letter["requestContext"]["approximateInvokeCount"], 2);

    let function_arn = "arn:aws:lambda:us-east-1:000000000000:function:averager:$LATEST";
    assert_eq!(letter["requestContext"]["functionArn"], function_arn);
    assert_eq!(letter["KafkaBatchInfo"]["recordInfo"]["offset"], "2");
    assert_eq!(letter["responseContext"]["functionError"], "Unhandled");

    running.stop().await;
}

#[tokio::test]
async fn records_older_than_allowed_become_dead_letters_untried() {
    let broker = broker();
    let (servers, function) = (broker.bootstrap_servers(), FakeFunction::open(&[]));
    produce(&servers, 0, &["a"]).await;

    let fresh_only = EventSourceMapping {
        max_record_age: Some(Duration::ZERO),
        ..definition()
    };

    let running = Running::start(fresh_only, &servers, &function).await;
    let (_, letter) = dead_letters(&servers, 1).await.remove(0);
    assert_eq!(letter["requestContext"]["condition"], "RecordAgeExceeded");
    assert_eq!(letter["responseContext"], Value::Null);

    until_committed(&servers, 0, 1).await;
    assert!(function.calls(|_| true).await.is_empty());
    running.stop().await;
}

#[tokio::test]
async fn a_batch_that_meets_a_host_which_is_being_replaced_goes_to_the_next_one() {
    let broker = broker();
    let (servers, function) = (broker.bootstrap_servers(), FakeFunction::open(&[]));
    *function.refusals.lock().unwrap() = 1;
    produce(&servers, 0, &["a"]).await;

    let running = Running::start(definition(), &servers, &function).await;
    produce(&servers, 0, &["b"]).await;

    until_committed(&servers, 0, 2).await;
    assert_eq!(function.calls(|_| true).await.concat(), ["a", "b"]);

    running.stop().await;
}

/// Panics on the first calls, then forwards calls to `function`.
#[derive(Debug)]
struct PanickingInvoker {
    panics: Mutex<u32>,
    function: Arc<FakeFunction>,
}

impl Invoker for PanickingInvoker {
    fn invoke<'a>(
        &'a self,
        name: &'a str,
        payload: Bytes,
    ) -> BoxFuture<'a, Result<Outcome, InvokeError>> {
        let left = self.panics.lock().unwrap().checked_sub(1);
        if let Some(left) = left {
            *self.panics.lock().unwrap() = left;
            panic!("as told");
        }
        self.function.invoke(name, payload)
    }
}

#[tokio::test]
async fn a_reader_that_panicked_is_started_again_and_says_so_and_no_record_is_lost() {
    let broker = broker();
    let (servers, function) = (broker.bootstrap_servers(), FakeFunction::open(&[]));
    produce(&servers, 0, &["a", "b"]).await;

    let invoker = Arc::new(PanickingInvoker {
        panics: Mutex::new(1),
        function: Arc::clone(&function),
    });
    let (stop, status) = (
        CancellationToken::new(),
        Arc::new(Status::new(&definition())),
    );

    let (ready, _reads) = oneshot::channel();
    let run = run(
        definition(),
        reader(&servers),
        invoker,
        ready,
        Arc::clone(&status),
        stop.clone(),
    );
    let task = tokio::spawn(run);

    until_committed(&servers, 0, 2).await;
    assert_eq!(function.calls(|_| true).await.concat(), ["a", "b"]);

    let reader = status.report().reader;
    assert_eq!((reader.restarts, reader.down_since), (1, None));
    let reason = reader.last_end.unwrap().reason;
    assert!(reason.contains("as told"), "{reason}");

    stop.cancel();
    tokio::time::timeout(DEADLINE, task)
        .await
        .expect("the mapping did not stop")
        .unwrap();
}

#[tokio::test]
async fn a_batch_that_hangs_shows_with_its_partition_and_the_lag_that_grows_behind_it() {
    let broker = broker();
    let (servers, function) = (broker.bootstrap_servers(), FakeFunction::closed());
    produce(&servers, 1, &["a"]).await;
    let running = Running::start(definition(), &servers, &function).await;
    function.calls(|calls| !calls.is_empty()).await;

    produce(&servers, 1, &["b", "c"]).await;
    until("a lag of three", async || {
        running.status.report().lag() == 3
    })
    .await;

    let report = running.status.report();
    assert_eq!(
        (
            report.in_flight[0].partitions.as_slice(),
            report.in_flight[0].records
        ),
        (&[1][..], 1)
    );
    assert!(report.oldest_record().is_some());

    function.gate.add_permits(100);
    until("no lag", async || running.status.report().lag() == 0).await;
    assert!(running.status.report().in_flight.is_empty());

    running.stop().await;
}

#[tokio::test]
async fn a_dead_letter_that_is_too_large_even_without_its_value_holds_up_nothing() {
    let broker = broker();
    let (servers, function) = (broker.bootstrap_servers(), FakeFunction::open(&["a"]));
    // Each byte takes five in the event, which is more than an invocation and a producer's message
    // may have.
    let header = Header {
        key: "large",
        value: Some(&vec![0x80; 900_000]),
    };
    let headers = (0..4).fold(OwnedHeaders::new(), |headers, _| {
        headers.insert(header.clone())
    });

    let config = ClientConfig::new()
        .set("bootstrap.servers", &servers)
        .set("message.max.bytes", "8000000")
        .clone();
    let producer: FutureProducer = config.create().unwrap();

    let record = FutureRecord::to(TOPIC)
        .partition(0)
        .key("AAPL")
        .payload("a")
        .headers(headers);
    producer.send(record, Timeout::Never).await.unwrap();

    let running = Running::start(definition(), &servers, &function).await;
    until_committed(&servers, 0, 1).await;
    running.stop().await;
}
