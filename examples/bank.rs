//! Accounts and transfers: a command reads and writes two keys, and money is neither made nor lost, for whoever looks
//! while transfers are made and for whoever opens the directory after a crash.
//!
//! `cargo run --release --example bank`. Every account is a key of its own. What a command touches must lie in one
//! shard, that of its `key`; so this bank has one shard, and any two of its accounts can meet in a command. With more
//! shards a hash of the key decides where an account lies: then let the key be what belongs together, such as a
//! branch, and the entity a map of its accounts.

#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use std::borrow::Cow;
use std::error::Error;

use mainstay::{Abort, At, Options, Runtime, ShardId, StateMachine, SubmitError, Txn, View};
use serde::{Deserialize, Serialize};

const ACCOUNTS: u32 = 64;
const TELLERS: u32 = 4;
const OPENING_BALANCE: u64 = 1_000;

/// The machine. The entity of an account is its balance.
struct Bank;

#[derive(Clone, Serialize, Deserialize)]
enum Command {
    Open { account: u32 },
    Transfer { from: u32, to: u32, amount: u64 },
}

#[derive(Debug, PartialEq, Eq)]
enum Reply {
    Done,
    NoSuchAccount,
    Insufficient { balance: u64 },
}

fn key(account: u32) -> [u8; 4] {
    account.to_le_bytes()
}

impl StateMachine for Bank {
    type Command = Command;
    type Entity = u64;
    type Reply = Reply;
    const SCHEMA: u32 = 1;

    fn key<'a>(&self, command: &'a Command) -> Cow<'a, [u8]> {
        let (Command::Open { account } | Command::Transfer { from: account, .. }) = command;
        Cow::Owned(key(*account).to_vec())
    }

    fn apply(&self, _: At, state: &mut Txn<'_, u64>, command: Command) -> Result<Reply, Abort> {
        let (from, to, amount) = match command {
            Command::Open { account } => {
                if state.get(&key(account))?.is_none() {
                    state.put(&key(account), OPENING_BALANCE);
                }
                return Ok(Reply::Done);
            }
            Command::Transfer { from, to, amount } => (key(from), key(to), amount),
        };
        let (Some(source), Some(_)) = (state.get(&from)?, state.get(&to)?) else {
            return Ok(Reply::NoSuchAccount);
        };
        // A refusal is a reply: nothing was written, and replays refuse in the same way.
        let Some(rest) = source.checked_sub(amount) else {
            return Ok(Reply::Insufficient { balance: *source });
        };
        state.put(&from, rest);
        // Read after the write, and reads see the command's own writes: a transfer to oneself changes nothing. Both
        // writes land together when this returns, or, if it panics, neither.
        let target = state.get(&to)?.map_or(0, |balance| *balance);
        state.put(&to, target + amount);
        Ok(Reply::Done)
    }
}

/// A view of one shard lies between two commands, never within one.
fn total(view: &View<u64>) -> Result<u64, Box<dyn Error>> {
    Ok(view.iter(ShardId(0))?.map(|(_, balance)| *balance).sum())
}

/// Makes transfers between all accounts. Returns how many were done and how many refused.
async fn teller(runtime: Runtime<Bank>, round: u32, teller: u32) -> Result<(u32, u32), SubmitError> {
    let (mut done, mut refused) = (0, 0);
    for n in 0..200 {
        let transfer = Command::Transfer {
            from: (n * 7 + round) % ACCOUNTS,
            to: (n * 3 + teller) % ACCOUNTS,
            amount: u64::from(n * 5),
        };
        match runtime.submit(transfer).await?.reply {
            Reply::Done => done += 1,
            Reply::NoSuchAccount | Reply::Insufficient { .. } => refused += 1,
        }
    }
    Ok((done, refused))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let options = Options { shards: Some(1), ..Options::new(dir.path()) };
    let expected = u64::from(ACCOUNTS) * OPENING_BALANCE;
    for round in 0..5 {
        let runtime = Runtime::open(Bank, options.clone()).await?;
        let opened = runtime.submit_many((0..ACCOUNTS).map(|account| Command::Open { account }).collect()).await;
        opened.into_iter().collect::<Result<Vec<_>, _>>()?;
        let tellers: Vec<_> = (0..TELLERS).map(|n| tokio::spawn(teller(runtime.clone(), round, n))).collect();
        let mut audits = 0;
        while !tellers.iter().all(tokio::task::JoinHandle::is_finished) {
            assert_eq!(total(&runtime.view().await)?, expected, "half a transfer was seen");
            audits += 1;
            tokio::task::yield_now().await;
        }
        let (mut done, mut refused) = (0, 0);
        for teller in tellers {
            let (d, r) = teller.await??;
            (done, refused) = (done + d, refused + r);
        }
        let sum = total(&runtime.view().await)?;
        println!("round {round}: {done} transfers, {refused} refused, {audits} audits, {sum} in all accounts");
        assert_eq!(sum, expected, "money was made or lost");
        // Dropped without a shutdown: the next round recovers from the log.
    }
    let runtime = Runtime::open(Bank, options).await?;
    assert_eq!(total(&runtime.latest())?, expected, "money was made or lost");
    println!("after recovery: {expected} in all accounts, as at the beginning");
    runtime.shutdown().await?;
    Ok(())
}
