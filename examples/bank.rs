//! Accounts and transfers: a command touches two keys of one shard, and money is neither made nor lost, whenever the
//! process is killed.
//!
//! `cargo run --release --example bank`. A transfer between two shards is not one command: here every account of a
//! branch lives in the branch's shard, because the branch is the key.

#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use std::borrow::Cow;
use std::error::Error;

use mainstay::{Abort, At, Options, Runtime, StateMachine, Txn, View};
use serde::{Deserialize, Serialize};

const BRANCHES: u32 = 4;
const ACCOUNTS: u32 = 16;
const OPENING_BALANCE: u64 = 1_000;

/// The machine. The entity of a branch is the list of its balances.
struct Bank;

#[derive(Clone, Serialize, Deserialize)]
enum Command {
    Open { branch: u32 },
    Transfer { branch: u32, from: u32, to: u32, amount: u64 },
}

#[derive(Debug, PartialEq, Eq)]
enum Reply {
    Done,
    NoSuchAccount,
    Insufficient { balance: u64 },
}

impl StateMachine for Bank {
    type Command = Command;
    type Entity = Vec<u64>;
    type Reply = Reply;
    const SCHEMA: u32 = 1;

    fn key<'a>(&self, command: &'a Command) -> Cow<'a, [u8]> {
        let (Command::Open { branch } | Command::Transfer { branch, .. }) = command;
        Cow::Owned(branch.to_le_bytes().to_vec())
    }

    fn apply(&self, _: At, state: &mut Txn<'_, Vec<u64>>, command: Command) -> Result<Reply, Abort> {
        let key = self.key(&command).into_owned();
        let (from, to, amount) = match command {
            Command::Open { .. } => {
                if state.get(&key)?.is_none() {
                    state.put(&key, vec![OPENING_BALANCE; ACCOUNTS as usize]);
                }
                return Ok(Reply::Done);
            }
            Command::Transfer { from, to, amount, .. } => (from as usize, to as usize, amount),
        };
        let Some(balances) = state.get(&key)? else { return Ok(Reply::NoSuchAccount) };
        let mut balances = (*balances).clone();
        let (Some(&source), Some(_)) = (balances.get(from), balances.get(to)) else {
            return Ok(Reply::NoSuchAccount);
        };
        // A refusal is a reply: nothing was written, and replays refuse in the same way.
        if source < amount {
            return Ok(Reply::Insufficient { balance: source });
        }
        for (at, balance) in balances.iter_mut().enumerate() {
            *balance -= if at == from { amount } else { 0 };
            *balance += if at == to { amount } else { 0 };
        }
        state.put(&key, balances);
        Ok(Reply::Done)
    }
}

fn total(view: &View<Vec<u64>>) -> Result<u64, Box<dyn Error>> {
    let mut sum = 0;
    for branch in 0..BRANCHES {
        sum += view.get(&branch.to_le_bytes())?.map_or(0, |balances| balances.iter().sum());
    }
    Ok(sum)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let expected = u64::from(BRANCHES * ACCOUNTS) * OPENING_BALANCE;
    for round in 0..5u32 {
        let options = Options { shards: Some(2), ..Options::new(dir.path()) };
        let runtime = Runtime::open(Bank, options).await?;
        for branch in 0..BRANCHES {
            runtime.submit(Command::Open { branch }).await?;
        }
        let tellers = (0..BRANCHES).map(|branch| {
            let runtime = runtime.clone();
            tokio::spawn(async move {
                let (mut done, mut refused) = (0, 0);
                for n in 0..200 {
                    let transfer = Command::Transfer {
                        branch,
                        from: (n * 7 + round) % ACCOUNTS,
                        to: (n * 3 + branch) % ACCOUNTS,
                        amount: u64::from(n * 5),
                    };
                    match runtime.submit(transfer).await?.reply {
                        Reply::Done => done += 1,
                        Reply::NoSuchAccount | Reply::Insufficient { .. } => refused += 1,
                    }
                }
                Ok::<_, mainstay::SubmitError>((done, refused))
            })
        });
        let tellers: Vec<_> = tellers.collect();
        let (mut done, mut refused) = (0, 0);
        for teller in tellers {
            let (d, r) = teller.await??;
            (done, refused) = (done + d, refused + r);
        }
        let sum = total(&runtime.view().await)?;
        println!("round {round}: {done} transfers, {refused} refused, {sum} in all accounts");
        assert_eq!(sum, expected, "money was made or lost");
        // Dropped without a shutdown: the next round recovers from the log.
    }
    let runtime = Runtime::open(Bank, Options::new(dir.path())).await?;
    assert_eq!(total(&runtime.latest())?, expected, "money was made or lost");
    println!("after recovery: {expected} in all accounts, as at the beginning");
    runtime.shutdown().await?;
    Ok(())
}
