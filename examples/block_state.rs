//! The state of a chain of blocks, with a digest for every height: what replicas compare, what a crash must not change,
//! and what a fork goes back to.
//!
//! `cargo run --release --example block_state`. It runs itself once more as a process that is killed in the middle of a
//! block. Three things make it simple:
//!
//! - A block says once for each account by how much it changes, and an account remembers the height that changed it
//!   last. So a block can be submitted again and again, in part or as a whole, and counts once.
//! - The blocks themselves are kept elsewhere (a consensus log; here a function of height and fork). After a crash
//!   those above the newest version are submitted again.
//! - Replicas are backups of one genesis. The digest of a version is made of those of its shards, and in which shard a
//!   key lies depends on a secret of the directory, which a backup has in common with its original. So the digests that
//!   this prints differ from one run to the next.

#![allow(clippy::print_stdout, reason = "an example talks to its reader")]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use mainstay::{Abort, At, Options, Runtime, StateMachine, Txn, Version, VersionOptions, View};
use serde::{Deserialize, Serialize};

const SHARDS: u32 = 4;
const ACCOUNTS: u32 = 200;
/// An even number.
const CHANGES: u32 = 60;
const HEIGHTS: u64 = 20;
/// So far the replica that is killed has got, and half a block.
const KILLED_AT: u64 = 13;
const REWRITE_EVERY: u64 = 5;
const FORK: u64 = 11;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// One account's part of a block.
#[derive(Clone, Serialize, Deserialize)]
struct Change {
    height: u64,
    account: u32,
    by: i64,
}

/// The height is part of the state, so it is part of the digest too.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Account {
    balance: i64,
    height: u64,
}

struct Ledger;

impl StateMachine for Ledger {
    type Command = Change;
    type Entity = Account;
    /// Whether it was new.
    type Reply = bool;
    const SCHEMA: u32 = 1;

    fn key<'a>(&self, change: &'a Change) -> Cow<'a, [u8]> {
        Cow::Owned(change.account.to_be_bytes().to_vec())
    }

    fn apply(&self, _: At, state: &mut Txn<'_, Account>, change: Change) -> std::result::Result<bool, Abort> {
        let key = change.account.to_be_bytes();
        let account = state.get(&key)?.map(|account| *account).unwrap_or_default();
        if change.height <= account.height {
            return Ok(false);
        }
        state.put(&key, Account { balance: account.balance + change.by, height: change.height });
        Ok(true)
    }
}

/// A block: pays from some accounts to as many others, none of them twice. The first one opens all accounts.
fn block(height: u64, fork: u64) -> Vec<Change> {
    if height == 1 {
        return (0..ACCOUNTS).map(|account| Change { height, account, by: 1_000 }).collect();
    }
    let first = (height * 37 + fork) as u32;
    let change = |n: u32| {
        let amount = i64::from(n / 2) + height as i64;
        let by = if n.is_multiple_of(2) { amount } else { -amount };
        Change { height, account: (first + n) % ACCOUNTS, by }
    };
    (0..CHANGES).map(change).collect()
}

/// A replica, and what each height has come to.
struct Replica {
    runtime: Runtime<Ledger>,
    heights: BTreeMap<u64, Version>,
}

fn options(dir: &Path) -> Options {
    let versions = VersionOptions { keep: 64, ..VersionOptions::default() };
    Options { shards: Some(SHARDS), digest: true, versions, ..Options::new(dir) }
}

impl Replica {
    /// A version has no name of its own, and needs none: its height is in its state. So the table of heights cannot
    /// disagree with the data, whenever the process ended.
    async fn open(dir: &Path) -> Result<Self> {
        let runtime = Runtime::open(Ledger, options(dir)).await?;
        let mut heights = BTreeMap::new();
        for version in runtime.versions() {
            heights.insert(height(&runtime.view_at(version.id).await?)?, version);
        }
        Ok(Self { runtime, heights })
    }

    /// The last height with a version.
    fn height(&self) -> u64 {
        self.heights.last_key_value().map_or(0, |(height, _)| *height)
    }

    /// Applies blocks up to a height. Returns how many changes were new and how many were there already.
    async fn advance(&mut self, until: u64, fork: u64) -> Result<(usize, usize)> {
        let (mut new, mut old) = (0, 0);
        for height in self.height() + 1..=until {
            // An error ends it before the version: a block is whole in it. Trying again is safe, also after
            // `Unconfirmed`. And no block begins before the one below has its version, or that would have parts of
            // both.
            for answer in self.runtime.submit_many(block(height, fork)).await {
                *(if answer?.reply { &mut new } else { &mut old }) += 1;
            }
            // Either has a digest. A rewrite is also a snapshot of every shard, and the next opening begins there.
            let rewrite = height.is_multiple_of(REWRITE_EVERY);
            let version = if rewrite { self.runtime.rewrite().await? } else { self.runtime.mark().await? };
            self.heights.insert(height, version);
        }
        Ok((new, old))
    }

    /// Goes back to a height. The versions of later ones are gone then.
    async fn back_to(&mut self, height: u64) -> Result<()> {
        let version = self.heights.get(&height).ok_or("no version of that height")?;
        self.runtime.rollback(version.id).await?;
        self.heights.retain(|at, _| *at <= height);
        Ok(())
    }

    fn digests(&self) -> BTreeMap<u64, Option<[u8; 32]>> {
        self.heights.iter().map(|(height, version)| (*height, version.digest)).collect()
    }

    /// The beginning of the last digest, for the reader.
    fn digest(&self) -> String {
        let digest = self.heights.values().next_back().and_then(|version| version.digest).unwrap_or_default();
        digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The block that was applied last.
fn height(view: &View<Account>) -> Result<u64> {
    let mut height = 0;
    for shard in view.shards() {
        height = view.iter(shard)?.fold(height, |height, (_, account)| height.max(account.height));
    }
    Ok(height)
}

/// The process that is killed: some blocks, then half of one, and a word to the parent.
async fn until_killed(dir: &Path) -> Result<()> {
    let mut replica = Replica::open(dir).await?;
    replica.advance(KILLED_AT, 0).await?;
    let half = block(KILLED_AT + 1, 0).into_iter().take(CHANGES as usize / 2).collect();
    replica.runtime.submit_many(half).await.into_iter().collect::<std::result::Result<Vec<_>, _>>()?;
    println!("ready");
    std::future::pending().await
}

/// Runs that process, and kills it when it is ready.
fn run_and_kill(dir: &Path) -> Result<()> {
    let mut child = Command::new(std::env::current_exe()?).arg(dir).stdout(Stdio::piped()).spawn()?;
    let said = child.stdout.take().and_then(|output| BufReader::new(output).lines().next());
    child.kill()?; // SIGKILL
    child.wait()?;
    if said.transpose()?.as_deref() == Some("ready") { Ok(()) } else { Err("the process ended early".into()) }
}

#[tokio::main]
async fn main() -> Result<()> {
    if let Some(dir) = std::env::args_os().nth(1) {
        return until_killed(Path::new(&dir)).await;
    }
    let temporary = tempfile::tempdir()?;
    let dirs = ["genesis", "killed", "steady"].map(|name| temporary.path().join(name));
    let [genesis, killed, steady] = &dirs;
    let origin = Runtime::open(Ledger, options(genesis)).await?;
    origin.submit_many(block(1, 0)).await.into_iter().collect::<std::result::Result<Vec<_>, _>>()?;
    origin.backup(killed).await?;
    origin.backup(steady).await?;
    origin.shutdown().await?;
    println!("genesis: {ACCOUNTS} accounts in {SHARDS} shards, and two backups of it as replicas");

    let mut steady = Replica::open(steady).await?;
    steady.advance(HEIGHTS, 0).await?;
    println!("a replica that never stops: height {}, digest {}", steady.height(), steady.digest());

    run_and_kill(killed)?;
    let mut replica = Replica::open(killed).await?;
    println!("another one, after kill -9: height {} has a version, and half a block follows", replica.height());
    assert_eq!(replica.height(), KILLED_AT);
    let (new, old) = replica.advance(HEIGHTS, 0).await?;
    println!("caught up to height {}: {new} changes were new, {old} were there", replica.height());
    assert_eq!(old, CHANGES as usize / 2, "what was answered is there, and nothing else");
    assert_eq!(replica.digests(), steady.digests(), "the replicas differ");
    println!("its digests are those of the first one, at every height");

    // Another fork above a height, and then the first one again.
    for fork in [1, 0] {
        replica.back_to(FORK).await?;
        replica.advance(HEIGHTS, fork).await?;
        println!("fork {fork} above height {FORK}: digest {}", replica.digest());
        for (height, digest) in steady.digests() {
            let same = height <= FORK || fork == 0;
            assert!(digest.is_some() && (replica.digests().get(&height) == Some(&digest)) == same, "height {height}");
        }
    }
    replica.runtime.shutdown().await?;
    steady.runtime.shutdown().await?;
    Ok(())
}
