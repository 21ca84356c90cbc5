//! The steps of an acquisition, with a provider and a course that only record what happens.

use std::sync::Mutex;

use sqlx::postgres::PgPoolOptions;

use super::*;
use crate::market::{ProviderName, Quote};
use crate::provider::Limits;

/// A step of an acquisition, as the course saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Fetched,
    Stored(Uuid),
    Appended(Vec<Option<Uuid>>),
}

/// Answers with a quote for every symbol but `NOPE`, or fails as a whole.
#[derive(Debug)]
struct Stub {
    name: ProviderName,
    fails: bool,
}

impl Stub {
    fn new(fails: bool) -> Self {
        let name = "stub".parse().unwrap();
        Self { name, fails }
    }

    fn error(&self) -> ProviderError {
        ProviderError::TimedOut {
            provider: self.name.clone(),
        }
    }

    fn unknown(&self, symbol: &Symbol) -> ProviderError {
        ProviderError::UnknownSymbol {
            symbol: symbol.clone(),
            provider: self.name.clone(),
        }
    }

    fn quote(&self, symbol: &Symbol) -> Result<Quote, ProviderError> {
        if symbol.as_str() == "NOPE" {
            return Err(self.error());
        }

        Ok(Quote {
            symbol: symbol.clone(),
            price: "1.50".parse().unwrap(),
            currency: None,
            timestamp: at(),
        })
    }
}

#[async_trait]
impl Provider for Stub {
    fn name(&self) -> &ProviderName {
        &self.name
    }

    fn limits(&self) -> Limits {
        Limits::unlimited(10)
    }

    /// Neither budget nor breaker stands before it, so nothing needs Postgres.
    fn is_remote(&self) -> bool {
        false
    }

    async fn unaskable(
        &self,
        symbols: &[Symbol],
    ) -> Result<Vec<(Symbol, ProviderError)>, ProviderError> {
        let unaskable = symbols.iter().filter(|symbol| symbol.as_str() == "A/B");
        Ok(unaskable
            .map(|symbol| (symbol.clone(), self.unknown(symbol)))
            .collect())
    }

    async fn fetch(&self, symbols: &[Symbol], at: Timestamp) -> Result<Answer, ProviderError> {
        assert!(symbols.iter().all(|symbol| symbol.as_str() != "A/B"));
        if self.fails {
            return Err(self.error());
        }

        let quotes = symbols
            .iter()
            .map(|symbol| (symbol.clone(), self.quote(symbol)))
            .collect();
        Ok(Answer {
            received_at: at,
            requests: 1,
            body: "raw".to_owned(),
            quotes,
        })
    }
}

/// Records the steps. One of them may fail.
#[derive(Debug)]
struct Recorded {
    /// Never connected.
    pool: PgPool,
    steps: Mutex<Vec<Step>>,
    stopped_after_fetch: bool,
    store_fails: bool,
    /// What the log answers; `None` as long as it acknowledges every event.
    log: Option<Option<Vec<Result<(), PublishError>>>>,
}

impl Default for Recorded {
    fn default() -> Self {
        let pool = PgPoolOptions::new().connect_lazy("postgres://nobody@127.0.0.1:1/nothing");
        Self {
            pool: pool.unwrap(),
            steps: Mutex::default(),
            stopped_after_fetch: false,
            store_fails: false,
            log: None,
        }
    }
}

impl Recorded {
    fn note(&self, step: Step) {
        self.steps.lock().unwrap().push(step);
    }

    fn steps(&self) -> Vec<Step> {
        self.steps.lock().unwrap().clone()
    }

    async fn acquire(&self, provider: &Stub, symbols: &str) -> Result<Acquired, &'static str> {
        let symbols: Vec<Symbol> = symbols
            .split(',')
            .map(|text| text.parse().unwrap())
            .collect();
        let wish = Wish {
            at: at(),
            accepts: None,
        };
        acquire(self, &Instance::default(), provider, &symbols, wish).await
    }
}

#[async_trait]
impl Course for Recorded {
    type Error = &'static str;

    fn pool(&self) -> &PgPool {
        &self.pool
    }

    async fn postgres<T, F, S>(&self, step: &'static str, _: S) -> Result<T, &'static str>
    where
        T: Send,
        F: Future<Output = Result<T, repository::Error>> + Send,
        S: Fn() -> F + Send + Sync,
    {
        panic!("Postgres is not needed to {step}");
    }

    fn longest_wait_for_others(&self) -> Duration {
        Duration::ZERO
    }

    async fn pause(&self, _: Duration) -> Result<bool, &'static str> {
        Ok(false)
    }

    async fn fetch(
        &self,
        request: Request<'_>,
    ) -> Result<Result<Answer, ProviderError>, &'static str> {
        Ok(request.await)
    }

    async fn fetched(&self) -> Result<(), &'static str> {
        self.note(Step::Fetched);
        if self.stopped_after_fetch {
            Err("stopped")
        } else {
            Ok(())
        }
    }

    async fn store(&self, response: &RawResponse<'_>) -> Result<(), &'static str> {
        assert_eq!((response.body, response.provider.as_str()), ("raw", "stub"));
        self.note(Step::Stored(response.raw_response_id));
        if self.store_fails {
            Err("not stored")
        } else {
            Ok(())
        }
    }

    async fn append(&self, events: &[PriceEvent]) -> Option<Vec<Result<(), PublishError>>> {
        self.note(Step::Appended(
            events.iter().map(|event| event.raw_response_id).collect(),
        ));
        self.log
            .clone()
            .unwrap_or_else(|| Some(vec![Ok(()); events.len()]))
    }
}

fn at() -> Timestamp {
    "2024-03-20T10:30:00Z".parse().unwrap()
}

/// The number of quotes that the log acknowledged.
fn published(acquired: &Acquired) -> usize {
    let quotes = acquired.quotes.iter();
    quotes.filter(|(_, quote)| quote.is_ok()).count()
}

/// Each symbol with its loss, if there is one, by symbol.
fn losses(acquired: &Acquired) -> Vec<(&str, Option<&Loss>)> {
    let mut losses: Vec<_> = acquired
        .quotes
        .iter()
        .map(|(symbol, quote)| (symbol.as_str(), quote.as_ref().err()))
        .collect();
    losses.sort_by_key(|(symbol, _)| *symbol);
    losses
}

#[tokio::test]
async fn the_raw_response_is_stored_before_the_events_that_refer_to_it_are_appended() {
    let course = Recorded::default();
    let acquired = course
        .acquire(&Stub::new(false), "AAPL,MSFT")
        .await
        .unwrap();

    let steps = course.steps();
    let [Step::Fetched, Step::Stored(stored), Step::Appended(events)] = &steps[..] else {
        panic!("{steps:?}");
    };
    assert_eq!(*events, [Some(*stored); 2]);
    assert_eq!((published(&acquired), acquired.log_failed()), (2, false));
}

#[tokio::test]
async fn nothing_is_published_if_the_raw_response_was_not_stored() {
    let course = Recorded {
        store_fails: true,
        ..Recorded::default()
    };
    let acquired = course.acquire(&Stub::new(false), "AAPL").await;

    assert_eq!(acquired, Err("not stored"));
    assert!(matches!(
        course.steps()[..],
        [Step::Fetched, Step::Stored(_)]
    ));
}

#[tokio::test]
async fn nothing_is_stored_if_the_caller_may_not_continue_after_the_request() {
    let course = Recorded {
        stopped_after_fetch: true,
        ..Recorded::default()
    };

    for fails in [false, true] {
        assert_eq!(
            course.acquire(&Stub::new(fails), "AAPL").await,
            Err("stopped")
        );
    }
    assert_eq!(course.steps(), [Step::Fetched, Step::Fetched]);
}

#[tokio::test]
async fn a_request_that_failed_as_a_whole_stores_nothing() {
    let (course, provider) = (Recorded::default(), Stub::new(true));
    let acquired = course.acquire(&provider, "AAPL").await.unwrap();

    assert_eq!(acquired.failure, Some(provider.error()));
    assert_eq!(acquired.quotes.len(), 1);
    assert_eq!(course.steps(), [Step::Fetched]);
}

#[tokio::test]
async fn each_symbol_has_a_result_of_its_own() {
    let refused = PublishError::NotAcknowledged("told to".to_owned());
    let course = Recorded {
        log: Some(Some(vec![Ok(()), Err(refused.clone())])),
        ..Recorded::default()
    };
    let provider = Stub::new(false);
    let acquired = course.acquire(&provider, "AAPL,NOPE,MSFT").await.unwrap();

    let (log, unknown) = (Loss::Log(refused), Loss::Provider(provider.error()));
    assert_eq!(
        losses(&acquired),
        [
            ("AAPL", None),
            ("MSFT", Some(&log)),
            ("NOPE", Some(&unknown))
        ]
    );
    assert_eq!((published(&acquired), acquired.log_failed()), (1, false));
}

#[tokio::test]
async fn without_time_for_the_log_every_quote_is_out_of_time_and_the_log_has_failed() {
    let course = Recorded {
        log: Some(None),
        ..Recorded::default()
    };
    let acquired = course
        .acquire(&Stub::new(false), "AAPL,MSFT")
        .await
        .unwrap();

    let late = Loss::OutOfTime;
    assert_eq!(
        losses(&acquired),
        [("AAPL", Some(&late)), ("MSFT", Some(&late))]
    );
    assert!(acquired.log_failed());
}

#[tokio::test]
async fn an_answer_without_quotes_is_stored_and_nothing_is_appended() {
    let course = Recorded::default();
    let acquired = course.acquire(&Stub::new(false), "NOPE").await.unwrap();

    assert!(matches!(
        course.steps()[..],
        [Step::Fetched, Step::Stored(_)]
    ));
    assert_eq!((published(&acquired), acquired.log_failed()), (0, false));
}

#[tokio::test]
async fn a_symbol_that_the_provider_cannot_have_is_not_asked_for_and_has_its_own_result() {
    let (course, provider) = (Recorded::default(), Stub::new(false));
    let unknown = Loss::Provider(provider.unknown(&"A/B".parse().unwrap()));

    let alone = course.acquire(&provider, "A/B").await.unwrap();
    assert_eq!(losses(&alone), [("A/B", Some(&unknown))]);
    assert_eq!(alone.failure, None);
    assert_eq!(course.steps(), [], "no request, and nothing to store");

    let among = course.acquire(&provider, "AAPL,A/B,MSFT").await.unwrap();
    assert_eq!(
        losses(&among),
        [("A/B", Some(&unknown)), ("AAPL", None), ("MSFT", None)]
    );
    assert!(matches!(
        course.steps()[..],
        [Step::Fetched, Step::Stored(_), Step::Appended(_)]
    ));
}
