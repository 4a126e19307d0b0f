//! Latencies of one kind of operation, and the figures made of them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// The figures of one cell in one round, by name. Units are part of the names.
pub type Sample = BTreeMap<String, f64>;

/// When a cell's clients count: not while they warm up, and not after the end.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    begin: Instant,
    end: Instant,
}

impl Clock {
    /// Counts so many seconds from a warm-up on: a tenth of them, at most half a second.
    pub fn seconds(seconds: f64) -> Self {
        let begin = Instant::now() + Duration::from_secs_f64((seconds / 10.0).min(0.5));
        Self { begin, end: begin + Duration::from_secs_f64(seconds) }
    }

    pub fn runs_at(&self, now: Instant) -> bool {
        now < self.end
    }

    fn counts_at(&self, now: Instant) -> bool {
        self.begin <= now && now < self.end
    }

    fn length(&self) -> f64 {
        (self.end - self.begin).as_secs_f64()
    }
}

/// What was done of one kind of operation, by one client or by all.
#[derive(Clone, Debug)]
pub struct Tally {
    operations: u64,
    nanoseconds: Histogram<u32>,
}

impl Tally {
    pub fn new() -> Self {
        // From 1 ns to 100 s, to two digits: those of 256 clients have to leave room in the caches.
        let nanoseconds = Histogram::new_with_bounds(1, 100_000_000_000, 2).expect("valid bounds");
        Self { operations: 0, nanoseconds }
    }

    /// So many operations have ended now. Those that end in time count; the latency, of all together or of the one that
    /// was timed, also counts if it goes beyond the end: the longest ones do.
    pub fn record(&mut self, operations: u64, started: Instant, clock: &Clock) {
        let ended = Instant::now();
        if clock.counts_at(ended) {
            self.operations += operations;
        }
        if clock.counts_at(started) {
            self.nanoseconds.saturating_record((ended - started).as_nanos() as u64);
        }
    }

    pub fn merged(tallies: impl IntoIterator<Item = Self>) -> Self {
        tallies.into_iter().fold(Self::new(), |mut sum, tally| {
            sum.operations += tally.operations;
            sum.nanoseconds.add(&tally.nanoseconds).expect("the same bounds");
            sum
        })
    }

    pub fn per_second(&self, clock: &Clock) -> f64 {
        self.operations as f64 / clock.length()
    }

    /// Adds `NAME/s` and `NAME pX us` to a sample.
    pub fn report(&self, name: &str, clock: &Clock, sample: &mut Sample) {
        sample.insert(format!("{name}/s"), self.per_second(clock));
        if self.nanoseconds.is_empty() {
            return;
        }
        for (label, part) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)] {
            let nanoseconds = self.nanoseconds.value_at_quantile(part);
            sample.insert(format!("{name} {label} us"), nanoseconds as f64 / 1e3);
        }
    }
}

/// The columns that [`Tally::report`] fills.
pub fn columns(name: &str) -> Vec<String> {
    let latencies = ["p50", "p99", "p99.9", "max"].map(|label| format!("{name} {label} us"));
    [format!("{name}/s")].into_iter().chain(latencies).collect()
}

/// Memory of this process, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Resident {
    pub all: u64,
    /// The part that no file backs.
    pub anonymous: u64,
    pub peak: u64,
}

pub fn resident_bytes() -> Resident {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a field of the status");
        line.split_whitespace().next().and_then(|kilobytes| kilobytes.parse::<u64>().ok()).expect("kilobytes") * 1024
    };
    Resident { all: field("VmRSS:"), anonymous: field("RssAnon:"), peak: field("VmHWM:") }
}
