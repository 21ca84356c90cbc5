/* librdkafka includes this file even where it is built without curl, and then makes no use of it: so it is found
 * (C_INCLUDE_PATH in .cargo/config.toml), and nothing of curl is linked. */
