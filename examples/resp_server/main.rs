//! A server that `redis-cli`, `redis-benchmark` and Redis client libraries can talk to, with the durability of
//! mainstay.
//!
//! ```text
//! cargo run --release --example resp_server -- --dir /tmp/data --port 6379
//! redis-cli -p 6379 set greeting hello
//! ```
//! Prints `ready ADDR:PORT` when it serves. SIGTERM, SIGINT and `SHUTDOWN` end it in good order, with code 0; it ends
//! with 2 for a wrong command line, 3 for damaged data, 4 for a directory in use and 5 when the system fails it.
//!
//! `MSET`, `DEL`, `UNLINK` and `FLUSHALL` are atomic within a shard, not across shards.

mod arguments;
mod exit;
mod server;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use mainstay::Runtime;
use mainstay::kv::{Kv, Sweeper, SweeperOptions};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use arguments::Arguments;
use exit::Failure;

/// Commands are allocated by one thread and freed by another, in every size: what costs glibc's allocator most. Redis
/// brings an allocator of its own, too. How it is built is in `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // Prints help, or what is wrong, and ends with 0 or 2.
    let arguments = Arguments::parse();
    raise_descriptors();
    let result =
        tokio::runtime::Runtime::new().map_err(Failure::from).and_then(|tokio| tokio.block_on(run(&arguments)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // If nobody listens there, the code has to do.
            let _ = writeln!(std::io::stderr(), "resp_server: {failure}");
            failure.code()
        }
    }
}

/// Every cold file that is referred to is open, and so is every connection: as many as may be had.
fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    // Where that is refused there are as many as there were.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let address = arguments.address().map_err(Failure::Usage)?;
    // From here on a signal ends the server in good order, also while it opens the directory.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    // The port is taken first: a second server fails without a look at the data.
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let runtime = Runtime::open(Kv, arguments.options()).await?;
    if let Some((shard, error)) = runtime.recovery().refused().next() {
        return Err(Failure::from_log(shard, error));
    }
    let sweeper = Sweeper::start(runtime.clone(), SweeperOptions::default());
    writeln!(std::io::stdout(), "ready {address}")?;
    server::serve(listener, runtime.clone(), arguments.settings(address), stop).await;
    sweeper.stop().await;
    runtime.shutdown().await?;
    Ok(())
}
