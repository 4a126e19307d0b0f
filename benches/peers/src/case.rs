//! What is measured: one case is one table, a row for each engine.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::engine::{Ability, Policy};
use crate::measure;

/// How much of it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Scale {
    pub keys: u64,
    pub seconds: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "workload", rename_all = "snake_case")]
pub enum Case {
    /// Every client puts one value after the other, each synced before it returns.
    Durable { clients: usize },
    /// Every client gets one value after the other; nobody writes.
    Gets { clients: usize },
    /// Every client puts one batch after the other.
    Buffered { clients: usize, batch: usize },
    /// Every client chooses by chance between a get and a put.
    Mix { clients: usize, gets_percent: u64 },
    /// One client gets, another puts: so many a second, or as fast as it can.
    Beside { puts_per_second: Option<u64> },
    /// Every client adds one to a counter after the other.
    Adds { clients: usize, policy: Policy },
    /// Resident memory after a load.
    Memory,
    /// Opening what a process has left behind that was killed, or that closed; one command a key of the scale, over so
    /// many keys, or over all.
    Recovery { over_keys: Option<u64>, killed: bool },
}

/// The names of the workloads.
pub const WORKLOADS: [&str; 8] = ["durable", "gets", "buffered", "mix", "beside", "adds", "memory", "recovery"];

/// All cases, in the order of the report.
pub fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend([1, 16, 64, 256].map(|clients| Case::Durable { clients }));
    cases.extend([1, 2].map(|clients| Case::Gets { clients }));
    cases.extend([(1, 1), (2, 1), (1, 64), (2, 64)].map(|(clients, batch)| Case::Buffered { clients, batch }));
    for gets_percent in [95, 50] {
        cases.extend([2, 64].map(|clients| Case::Mix { clients, gets_percent }));
    }
    cases.extend([Some(10_000), None].map(|puts_per_second| Case::Beside { puts_per_second }));
    cases.extend([64, 256].map(|clients| Case::Adds { clients, policy: Policy::Durable }));
    cases.extend([2, 64].map(|clients| Case::Adds { clients, policy: Policy::Buffered }));
    cases.push(Case::Memory);
    for over_keys in [Some(10_000), None] {
        cases.push(Case::Recovery { over_keys, killed: true });
    }
    cases.push(Case::Recovery { over_keys: None, killed: false });
    cases
}

impl Case {
    pub fn workload(&self) -> &'static str {
        match self {
            Self::Durable { .. } => "durable",
            Self::Gets { .. } => "gets",
            Self::Buffered { .. } => "buffered",
            Self::Mix { .. } => "mix",
            Self::Beside { .. } => "beside",
            Self::Adds { .. } => "adds",
            Self::Memory => "memory",
            Self::Recovery { .. } => "recovery",
        }
    }

    pub fn policy(&self) -> Policy {
        match self {
            Self::Durable { .. } => Policy::Durable,
            Self::Adds { policy, .. } => *policy,
            _ => Policy::Buffered,
        }
    }

    /// What an engine must be able to do to have a row.
    pub fn needs(&self) -> &'static [Ability] {
        match self {
            Self::Durable { .. } => &[Ability::DurablePuts],
            Self::Gets { .. } | Self::Mix { .. } | Self::Beside { .. } => &[Ability::Gets],
            Self::Buffered { .. } | Self::Memory => &[Ability::BufferedPuts],
            Self::Adds { policy: Policy::Durable, .. } => &[Ability::DurableAdds],
            Self::Adds { policy: Policy::Buffered, .. } => &[Ability::BufferedAdds],
            Self::Recovery { .. } => &[Ability::Recovery],
        }
    }

    /// The figures of a row; the first is the one that is compared.
    pub fn columns(&self) -> Vec<String> {
        match self {
            Self::Durable { .. } | Self::Buffered { .. } => measure::columns("put"),
            Self::Gets { .. } => measure::columns("get"),
            Self::Adds { .. } => measure::columns("add"),
            Self::Mix { .. } | Self::Beside { .. } => {
                let losses = ["get alone/s".to_owned(), "gets lost %".to_owned()];
                [measure::columns("get"), losses.into(), measure::columns("put")].concat()
            }
            Self::Memory => ["B a key", "anonymous B a key", "disk B a key"].map(str::to_owned).into(),
            Self::Recovery { .. } => ["commands/s", "open ms", "disk MB", "peak MB"].map(str::to_owned).into(),
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clients = |count: &usize| if *count == 1 { "1 client".to_owned() } else { format!("{count} clients") };
        match self {
            Self::Durable { clients: count } => write!(f, "Durable puts, {}", clients(count)),
            Self::Gets { clients: count } => write!(f, "Point gets, {}", clients(count)),
            Self::Buffered { clients: count, batch } => {
                write!(f, "Buffered puts, {}, batches of {batch}", clients(count))
            }
            Self::Mix { clients: count, gets_percent } => {
                write!(f, "{gets_percent}/{} mix of gets and buffered puts, {}", 100 - gets_percent, clients(count))
            }
            Self::Beside { puts_per_second: Some(rate) } => {
                write!(f, "Gets of one client beside another's {rate} buffered puts a second")
            }
            Self::Beside { puts_per_second: None } => {
                write!(f, "Gets of one client beside another's buffered puts at full speed")
            }
            Self::Adds { clients: count, policy: Policy::Durable } => {
                write!(f, "Durable increments, {}", clients(count))
            }
            Self::Adds { clients: count, policy: Policy::Buffered } => {
                write!(f, "Buffered increments, {}", clients(count))
            }
            Self::Memory => write!(f, "Memory"),
            Self::Recovery { over_keys, killed } => {
                let keys = over_keys.map_or("as many keys as commands".to_owned(), |keys| format!("{keys} keys"));
                write!(f, "Opening after {}, {keys}", if *killed { "kill -9" } else { "an orderly close" })
            }
        }
    }
}
