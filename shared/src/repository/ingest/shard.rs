//! Maps a series to its fence. The fence depends on the symbol alone, by the same hash that chooses
//! a record's partition, so writers of different partitions do not contend for a fence.

use crate::market::Symbol;

/// Number of fences: a multiple of the usual numbers of partitions (6, 8, 12, 16, 24).
pub(in crate::repository) const SHARDS: u32 = 48;

/// The fence of `symbol`: Kafka's default partitioner, `murmur2(key) & 0x7fffffff`, over
/// [`SHARDS`].
pub(in crate::repository) fn of(symbol: &Symbol) -> i32 {
    let positive = murmur2(symbol.as_str().as_bytes()) & 0x7fff_ffff;
    i32::try_from(positive % SHARDS).unwrap_or(0)
}

/// `MurmurHash2`, 32 bits, with the seed of Kafka's Java client
/// (`org.apache.kafka.common.utils.Utils.murmur2`).
fn murmur2(data: &[u8]) -> u32 {
    const MULTIPLIER: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;

    let mut hash = SEED ^ u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut words = data.chunks_exact(4);
    for word in words.by_ref() {
        let mut word =
            u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(MULTIPLIER);
        word ^= word >> 24;
        hash = hash.wrapping_mul(MULTIPLIER) ^ word.wrapping_mul(MULTIPLIER);
    }

    let rest = words.remainder();
    if !rest.is_empty() {
        for (position, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * position);
        }
        hash = hash.wrapping_mul(MULTIPLIER);
    }

    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_one_of_kafka_s_java_client() {
        // Values of Kafka's own unit test of `Utils.murmur2`, as signed integers.
        for (key, expected) in [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), expected, "{key}");
        }
    }
}
