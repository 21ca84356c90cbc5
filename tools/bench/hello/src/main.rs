//! A function that only answers: what starting costs at least, for `bench -- start` to hold the others against.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let hello = async |_: LambdaEvent<Value>| Ok::<_, Error>(json!({ "hello": "world" }));
    lambda_runtime::run(service_fn(hello)).await
}
