//! Events of another producer, for prices that a test chooses.

use e2e::topic::Producer;

/// The provider that the events name.
pub(crate) const SOURCE: &str = "elsewhere";

/// Publishes a price of `symbol`, quoted at that time.
pub(crate) async fn publish(producer: &Producer, symbol: &str, price: &str, time: &str) {
    let event = format!(
        r#"{{"symbol":"{symbol}","price":{price},"currency":"USD","timestamp":"{time}","source":"{SOURCE}"}}"#
    );
    producer.send(symbol, event.as_bytes()).await.unwrap();
}
