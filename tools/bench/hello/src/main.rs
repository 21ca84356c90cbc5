//! A function that only answers. Its start is the least that any function's start can cost, and
//! `bench -- start` compares the others with it.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let hello = async |_: LambdaEvent<Value>| Ok::<_, Error>(json!({ "hello": "world" }));
    lambda_runtime::run(service_fn(hello)).await
}
