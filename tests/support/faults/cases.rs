//! The named cases: every fault on its own, and combinations of them.

use super::fault::Fault;
use super::run::Case;
use super::site::Wiring;

/// The averager is killed at random moments.
#[must_use]
pub fn averager_killed() -> Case {
    Case::of("averager killed", vec![Fault::AveragerKilled; 5])
}

/// The emulator is killed and started again.
#[must_use]
pub fn emulator_killed() -> Case {
    Case::of("emulator killed", vec![Fault::EmulatorKilled])
}

/// The averager is killed, then the emulator and the averager.
#[must_use]
pub fn both_killed() -> Case {
    Case::of(
        "averager and emulator killed",
        vec![Fault::AveragerKilled, Fault::BothKilled],
    )
}

/// Postgres is killed, twice.
#[must_use]
pub fn postgres_killed() -> Case {
    Case::of("Postgres killed", vec![Fault::PostgresKilled; 2])
}

/// Postgres is stopped and started, twice.
#[must_use]
pub fn postgres_restarted() -> Case {
    Case::of("Postgres restarted", vec![Fault::PostgresRestarted; 2])
}

/// Connections to Postgres are lost: at any moment, within a transaction, and between COMMIT and
/// its answer.
#[must_use]
pub fn connections_cut() -> Case {
    let faults = [
        Fault::ConnectionsTerminated,
        Fault::CutInTransaction,
        Fault::CommitAnswerLost,
    ];
    Case::of("connections cut", [faults, faults].concat())
}

/// A failover to a read-only server, and back.
#[must_use]
pub fn failed_over_to_reader() -> Case {
    Case::of(
        "failed over to a reader and back",
        vec![Fault::FailedOverToReader; 2],
    )
}

/// Connections fall silent with the locks that their transactions hold.
#[must_use]
pub fn connections_silenced() -> Case {
    Case::of("connections silenced", vec![Fault::ConnectionsSilenced; 4])
}

/// Kafka is stopped and started.
#[must_use]
pub fn kafka_restarted() -> Case {
    Case::of("Kafka restarted", vec![Fault::KafkaRestarted])
}

/// Kafka is killed and started again.
#[must_use]
pub fn kafka_killed() -> Case {
    Case::of("Kafka killed", vec![Fault::KafkaKilled])
}

/// Two emulators in one consumer group; each is killed in turn.
#[must_use]
pub fn rebalance() -> Case {
    let faults = vec![Fault::EmulatorKilled; 2];
    Case {
        groups: &["averager", "averager"],
        ..Case::of("two emulators, each killed", faults)
    }
}

/// Every record is delivered to two averagers at once; then the whole topic is replayed from its
/// first record.
#[must_use]
pub fn delivered_twice() -> Case {
    let faults = vec![Fault::AveragerKilled, Fault::ConnectionsTerminated];
    Case {
        groups: &["one", "two"],
        replay: true,
        ..Case::of("delivered twice, then replayed", faults)
    }
}

/// Records crash the function.
#[must_use]
pub fn crashing_records() -> Case {
    let wiring = Wiring { crashing: true };
    Case {
        wiring,
        ..Case::of("records that crash the function", Vec::new())
    }
}

/// Postgres is unavailable for two minutes.
#[must_use]
pub fn database_unavailable() -> Case {
    Case::of(
        "Postgres away for two minutes",
        vec![Fault::PostgresAway(120)],
    )
}

/// The stream is compressed with gzip.
#[must_use]
pub fn gzip() -> Case {
    compressed("gzip")
}

/// The stream is compressed with snappy.
#[must_use]
pub fn snappy() -> Case {
    compressed("snappy")
}

/// The stream is compressed with lz4.
#[must_use]
pub fn lz4() -> Case {
    compressed("lz4")
}

/// The stream is compressed with zstd.
#[must_use]
pub fn zstd() -> Case {
    compressed("zstd")
}

fn compressed(codec: &'static str) -> Case {
    Case {
        codec,
        ..Case::of(codec, vec![Fault::AveragerKilled])
    }
}

/// Postgres always refuses some events, in batches with good ones.
#[must_use]
pub fn permanent_errors() -> Case {
    Case::of(
        "a permanent error in a batch",
        vec![Fault::RefusedEvents; 3],
    )
}

/// Readers end, and records arrive that could end a reader.
#[must_use]
pub fn reader_ended() -> Case {
    let faults = [Fault::OddRecords, Fault::ReaderShutOut, Fault::OddRecords];
    Case::of("a reader that dies", faults.to_vec())
}

/// All averagers hang, twice.
#[must_use]
pub fn averager_hangs() -> Case {
    Case::of("averagers that hang", vec![Fault::AveragerHangs; 2])
}

/// A writer vanishes while it holds locks.
#[must_use]
pub fn writer_vanished() -> Case {
    Case {
        groups: &["one", "two"],
        ..Case::of("a vanished writer", vec![Fault::WriterVanished])
    }
}

/// A database is restored to an earlier state under two writers; then the whole topic is replayed.
#[must_use]
pub fn database_restored() -> Case {
    let faults = vec![Fault::DatabaseRestored];
    Case {
        groups: &["one", "two"],
        replay: true,
        ..Case::of("a database restored, then replayed", faults)
    }
}

/// The case of every fault.
pub const EACH: [fn() -> Case; 23] = [
    averager_killed,
    emulator_killed,
    both_killed,
    postgres_killed,
    postgres_restarted,
    connections_cut,
    failed_over_to_reader,
    connections_silenced,
    kafka_restarted,
    kafka_killed,
    rebalance,
    delivered_twice,
    crashing_records,
    database_unavailable,
    gzip,
    snappy,
    lz4,
    zstd,
    permanent_errors,
    reader_ended,
    averager_hangs,
    writer_vanished,
    database_restored,
];
