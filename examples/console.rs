//! A runtime under load, to be looked at with tokio-console: every actor is a named task.
//!
//! ```text
//! RUSTFLAGS="--cfg tokio_unstable" cargo run --release --example console --features console
//! tokio-console        # in another terminal; `cargo install tokio-console`
//! ```
//! The tasks are called `mainstay-RUNTIME/SHARD/ROLE.INCARNATION`: `mainstay-0/1/shard.1` is the shard actor of shard 1
//! in its first life, `mainstay-0/1/wal_writer.1` its log's writer, on a thread of its own.

#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use std::error::Error;
use std::time::{Duration, Instant};

use mainstay::kv::{Command, Kv};
use mainstay::{Options, Runtime};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    console_subscriber::init();
    let seconds = std::env::args().nth(1).map_or(Ok(300), |seconds| seconds.parse())?;
    let dir = tempfile::tempdir()?;
    let options = Options { shards: Some(2), ..Options::new(dir.path()) };
    let runtime = Runtime::open(Kv, options).await?;
    println!("running for {seconds} s; connect with tokio-console");
    let end = Instant::now() + Duration::from_secs(seconds);
    let clients: Vec<_> = (0..8u32)
        .map(|client| {
            let runtime = runtime.clone();
            tokio::spawn(async move {
                let mut n = 0;
                while Instant::now() < end {
                    let key = format!("{client}/{}", n % 1_000);
                    runtime.submit(Command::increment(key, 1)).await?;
                    n += 1;
                }
                Ok::<u64, mainstay::SubmitError>(n)
            })
        })
        .collect();
    let mut commands = 0;
    for client in clients {
        commands += client.await??;
    }
    println!("{commands} durable commands");
    runtime.shutdown().await?;
    Ok(())
}
