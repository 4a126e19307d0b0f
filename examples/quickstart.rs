//! Open a directory, submit, read, drop everything without a shutdown, open again: the state is there.
//!
//! `cargo run --release --example quickstart [-- DIRECTORY]`; without one it uses a temporary directory.

#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use std::borrow::Cow;
use std::error::Error;

use mainstay::{Abort, At, Options, Runtime, StateMachine, Txn};
use serde::{Deserialize, Serialize};

/// Words and how often they were said.
struct Words;

#[derive(Serialize, Deserialize)]
enum Command {
    Say(String),
    Forget(String),
}

impl StateMachine for Words {
    type Command = Command;
    type Entity = u64;
    type Reply = u64;
    const SCHEMA: u32 = 1;

    fn key<'a>(&self, command: &'a Command) -> Cow<'a, [u8]> {
        match command {
            Command::Say(word) | Command::Forget(word) => Cow::Borrowed(word.as_bytes()),
        }
    }

    fn apply(&self, _: At, state: &mut Txn<'_, u64>, command: Command) -> Result<u64, Abort> {
        match command {
            Command::Say(word) => {
                let count = state.get(word.as_bytes())?.map_or(0, |count| *count) + 1;
                state.put(word.as_bytes(), count);
                Ok(count)
            }
            Command::Forget(word) => {
                let count = state.get(word.as_bytes())?.map_or(0, |count| *count);
                state.remove(word.as_bytes());
                Ok(count)
            }
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let temporary = tempfile::tempdir()?;
    let dir = std::env::args_os().nth(1).map_or(temporary.path().to_owned(), Into::into);

    let runtime = Runtime::open(Words, Options::new(&dir)).await?;
    for word in ["to", "be", "or", "not", "to", "be", "never"] {
        let receipt = runtime.submit(Command::Say(word.to_owned())).await?;
        println!("{word:5} said {} times, {:?} at {}", receipt.reply, receipt.durability, receipt.position);
    }
    runtime.submit(Command::Forget("never".to_owned())).await?;
    let before = runtime.view().await.get(b"be")?.map(|count| *count);
    println!("a view shows {before:?} times \"be\"");

    drop(runtime); // No shutdown: as far as the data is concerned, this is a crash.

    let runtime = Runtime::open(Words, Options::new(&dir)).await?;
    let report = &runtime.recovery().shards;
    println!("opened again: {} commands recovered", report.iter().map(|s| s.commands).sum::<u64>());
    let view = runtime.view().await;
    assert_eq!(view.get(b"be")?.map(|count| *count), before);
    assert_eq!(view.get(b"never")?, None);
    println!("the state is the same");
    runtime.shutdown().await?;
    Ok(())
}
