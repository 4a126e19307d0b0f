//! The book that a test keeps outside of the disk: what every caller was told, and whether a reopened directory agrees.
//!
//! The rules are those of the crate's documentation, written down a second time: `Durable` survives a power cut,
//! `Accepted` and `Written` a kill, `NotExecuted` is never found again, `Unconfirmed` is whole or absent, a position
//! names one command for ever, and the state is that of a plain map that applies the surviving commands in order.
#![allow(dead_code, reason = "each test uses its part")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use mainstay::{Durability, LostRange, Outcome, Position, Receipt, Runtime, ShardId, SubmitError, Version};

use crate::ledger::{Account, Entry, Ledger, fold, position};

#[path = "line.rs"]
mod line;

use line::{Phase, Rollback};

/// What a caller was told about its command.
#[derive(Clone, Debug)]
pub struct Record {
    pub id: u64,
    pub key: Vec<u8>,
    pub answer: Result<Receipt<u64>, SubmitError>,
    pub phase: Phase,
}

/// How a disk came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    PowerCut,
    Kill,
}

/// See the module. Clones write into the same records; [`Book::copy`] makes another book.
#[derive(Clone, Debug, Default)]
pub struct Book {
    records: Arc<Mutex<Vec<Record>>>,
    /// What `outcome` has said about a position that was given out.
    outcomes: Vec<(ShardId, Position, u64, Outcome)>,
    lost: Vec<(ShardId, LostRange)>,
    /// A sync of a log file has failed and its effect may not have been moved yet: what was answered before it was
    /// synced may be gone with the process.
    pub sync_failed: bool,
    /// A sync of a log file has failed: the cache shows what the disk does not have.
    pub cache_lied: bool,
    /// Nothing has gone wrong but reads.
    pub only_reads_failed: bool,
    next_id: Arc<AtomicU64>,
    /// The versions that somebody was told of, and the rollback, if there is one.
    rollback: Arc<Mutex<Rollback>>,
}

/// What a reopened directory holds: every shard's commands in order, and the accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    shards: Vec<Vec<(Position, u64)>>,
    accounts: BTreeMap<Vec<u8>, Account>,
}

impl Record {
    /// The position that the caller has learnt.
    pub fn given(&self) -> Option<(ShardId, Position)> {
        match &self.answer {
            Ok(receipt) => Some((receipt.shard, receipt.position)),
            Err(SubmitError::Unconfirmed { shard, position }) => Some((*shard, *position)),
            Err(_) => None,
        }
    }
}

impl Book {
    /// An entry with an id of its own.
    pub fn entry(&self, key: &str, pad: usize) -> Entry {
        let id = 1 + self.next_id.fetch_add(1, Ordering::Relaxed);
        Entry { key: key.as_bytes().to_vec(), id, pad: vec![0x5a; pad] }
    }

    fn record(&self, entry: &Entry, submitted: Phase, answer: Result<Receipt<u64>, SubmitError>) {
        let phase = if self.phase() == submitted { submitted } else { Phase::Meanwhile };
        let record = Record { id: entry.id, key: entry.key.clone(), answer, phase };
        self.records.lock().unwrap().push(record);
    }

    /// What was answered so far.
    pub fn records(&self) -> Vec<Record> {
        self.records.lock().unwrap().clone()
    }

    /// Another book, with the first so many answers of this one.
    pub fn copy(&self, count: usize) -> Self {
        let records = self.records().into_iter().take(count).collect();
        let rollback = self.rollback.lock().unwrap().clone();
        Self { records: Arc::new(Mutex::new(records)), rollback: Arc::new(Mutex::new(rollback)), ..self.clone() }
    }

    /// Somebody was told of a version.
    pub fn told_of(&self, version: &Version) {
        self.rollback.lock().unwrap().told_of(version);
    }

    /// How many answers are written down.
    pub fn len(&self) -> usize {
        self.records.lock().unwrap().len()
    }

    /// Submits one entry and writes down its answer.
    pub async fn submit(&self, runtime: &Runtime<Ledger>, entry: Entry) {
        let submitted = self.phase();
        let answer = runtime.submit(entry.clone()).await;
        self.record(&entry, submitted, answer);
    }

    /// Submits entries from as many tasks and writes down the answers.
    pub async fn submit_all(&self, runtime: &Runtime<Ledger>, entries: Vec<Entry>) {
        let tasks: Vec<_> = entries
            .into_iter()
            .map(|entry| {
                let (book, runtime) = (self.clone(), runtime.clone());
                tokio::spawn(async move { book.submit(&runtime, entry).await })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    }

    /// Receipts promised no more than to survive a kill: what was not durable is whole or absent now.
    pub fn power_was_cut(&mut self) {
        for record in self.records.lock().unwrap().iter_mut() {
            if let Ok(receipt) = &record.answer
                && receipt.durability != Durability::Durable
            {
                record.answer = Err(SubmitError::Unconfirmed { shard: receipt.shard, position: receipt.position });
            }
        }
    }

    /// A runtime has promised more than the receipts of that epoch did: up to there they are durable.
    pub fn promise(&mut self, runtime: &Runtime<Ledger>, shard: ShardId, last: Position) {
        self.note_lost(runtime);
        for record in self.records.lock().unwrap().iter_mut() {
            if let Ok(receipt) = &mut record.answer
                && receipt.shard == shard
                && receipt.position.epoch == last.epoch
                && receipt.position.lsn <= last.lsn
                && !self.is_named_lost(shard, receipt.position)
            {
                receipt.durability = Durability::Durable;
            }
        }
    }

    /// Remembers what the runtime admits to have lost.
    fn note_lost(&mut self, runtime: &Runtime<Ledger>) {
        for shard in runtime.stats().shards {
            self.lost.extend(shard.lost.into_iter().map(|lost| (shard.shard, lost)));
        }
    }

    /// How many entries were answered `Ok`.
    pub fn receipts(&self) -> usize {
        self.records().iter().filter(|record| record.answer.is_ok()).count()
    }

    /// Asks a running runtime about every position, to hold it against what is found later.
    pub async fn ask_outcomes(&mut self, runtime: &Runtime<Ledger>) {
        for record in &self.records() {
            if let Some((shard, position)) = record.given() {
                let outcome = runtime.outcome(shard, position).await;
                self.outcomes.push((shard, position, record.id, outcome));
            }
        }
        self.note_lost(runtime);
    }

    fn is_named_lost(&self, shard: ShardId, position: Position) -> bool {
        self.lost.iter().any(|(of, lost)| {
            *of == shard && lost.epoch == position.epoch && (lost.first..lost.end).contains(&position.lsn)
        })
    }

    /// Holds what was found against what was told. Returns every contradiction.
    pub fn check(&self, found: &Found, ending: Ending) -> Vec<String> {
        let mut wrong = found.check_model();
        wrong.extend(self.check_lines(found));
        let is_back = self.is_back(found);
        for record in &self.records() {
            wrong.extend(self.check_record(record, found, ending, is_back));
        }
        for (shard, position, id, outcome) in &self.outcomes {
            let there = found.id_at(*shard, *position) == Some(*id);
            let excused = self.sync_failed || self.is_named_lost(*shard, *position);
            let abandoned = self.may_be_abandoned(*id, is_back);
            let false_claim = match outcome {
                Outcome::Durable => !there && !abandoned,
                Outcome::Accepted => ending == Ending::Kill && !there && !excused && !abandoned,
                Outcome::NotExecuted | Outcome::Forgotten | Outcome::RolledBack => there,
                _ => false,
            };
            if false_claim {
                let there = if there { "there" } else { "not there" };
                wrong.push(format!("outcome said {outcome:?} of {shard} {position}: it is {there}"));
            }
        }
        wrong
    }

    fn check_record(&self, record: &Record, found: &Found, ending: Ending, is_back: bool) -> Vec<String> {
        let mut wrong = Vec::new();
        let (id, at) = (record.id, found.position_of(record.id));
        let Some((shard, position)) = record.given() else {
            if at.is_some() {
                wrong.push(format!("entry {id} was answered {:?} and is there", record.answer));
            }
            return wrong;
        };
        if at.is_some_and(|at| at != (shard, position)) {
            wrong.push(format!("entry {id} was given {shard} {position} and is at {at:?}"));
        }
        if let Some(other) = found.id_at(shard, position).filter(|other| *other != id) {
            wrong.push(format!("{shard} {position} of entry {id} names entry {other} now"));
        }
        if let Some(epoch) = found.epoch_at(shard, position).filter(|at| *at < position.epoch.0) {
            wrong.push(format!("{shard} {position}: its lsn is still held by epoch {epoch}"));
        }
        if let Ok(receipt) = &record.answer {
            let promised = match receipt.durability {
                Durability::Durable => true,
                Durability::Accepted | Durability::Written => {
                    let excused = self.sync_failed || self.is_named_lost(shard, position);
                    ending == Ending::Kill && !excused
                }
            };
            if promised && at.is_none() && !self.is_abandoned(record, is_back) {
                wrong.push(format!(
                    "entry {id} was answered {:?} at {shard} {position} and is gone after {ending:?}",
                    receipt.durability
                ));
            }
            if at.is_some() && found.fold_after(record) != Some(receipt.reply) {
                wrong.push(format!("entry {id} at {shard} {position}: its reply was another"));
            }
        }
        wrong
    }

    /// Holds `outcome` of a reopened runtime against what it holds.
    pub async fn check_outcomes(&self, runtime: &Runtime<Ledger>, found: &Found) -> Vec<String> {
        let (mut wrong, is_back) = (Vec::new(), self.is_back(found));
        for record in &self.records() {
            let Some((shard, position)) = record.given() else { continue };
            let outcome = runtime.outcome(shard, position).await;
            let there = found.position_of(record.id).is_some();
            let is_true = if there { outcome == Outcome::Durable } else { self.may_say(record, is_back, outcome) };
            if !is_true {
                let there = if there { "there" } else { "not there" };
                wrong.push(format!("reopened: outcome of {shard} {position} is {outcome:?}, and it is {there}"));
            }
        }
        wrong
    }
}

impl Found {
    /// Reads everything that a runtime shows now. A refused shard is an error.
    pub fn read(runtime: &Runtime<Ledger>) -> Result<Self, String> {
        let view = runtime.latest();
        let mut found = Self::default();
        for shard in view.shards() {
            let mut commands = Vec::new();
            let entries = view.iter(shard).map_err(|error| error.to_string())?;
            for (key, account) in entries {
                if runtime.shard_of(key) != shard {
                    return Err(format!("{key:?} is in {shard}"));
                }
                let history = account.history.iter();
                commands.extend(history.map(|(epoch, lsn, id)| (position(*epoch, *lsn), *id)));
                found.accounts.insert(key.to_vec(), account.clone());
            }
            commands.sort_by_key(|(position, _)| position.lsn);
            let end = view.end(shard).map_err(|error| error.to_string())?;
            if end.lsn.0 != commands.len() as u64 + 1 {
                return Err(format!("{shard} ends at {end} with {} commands", commands.len()));
            }
            found.shards.push(commands);
        }
        Ok(found)
    }

    /// What was recovered once stays: it was synced before it was shown.
    pub fn check_begins_with(&self, earlier: &Self) -> Vec<String> {
        let shards = (0..).map(ShardId).zip(&earlier.shards);
        let gone = shards.filter(|(shard, commands)| !self.commands_of(*shard).starts_with(commands));
        gone.map(|(shard, _)| format!("{shard}: what was recovered is gone after a crash")).collect()
    }

    pub fn commands(&self) -> usize {
        self.shards.iter().map(Vec::len).sum()
    }

    fn commands_of(&self, shard: ShardId) -> &[(Position, u64)] {
        self.shards.get(shard.0 as usize).map(Vec::as_slice).unwrap_or_default()
    }

    fn id_at(&self, shard: ShardId, at: Position) -> Option<u64> {
        let mut commands = self.commands_of(shard).iter();
        commands.find(|(position, _)| *position == at).map(|(_, id)| *id)
    }

    fn epoch_at(&self, shard: ShardId, at: Position) -> Option<u64> {
        let mut commands = self.commands_of(shard).iter();
        let held = commands.find(|(position, _)| position.lsn == at.lsn)?;
        Some(held.0.epoch.0)
    }

    pub fn position_of(&self, id: u64) -> Option<(ShardId, Position)> {
        let shards = (0..).map(ShardId).zip(&self.shards);
        let mut all =
            shards.flat_map(|(shard, commands)| commands.iter().map(move |(position, id)| (shard, *position, *id)));
        all.find(|(_, _, of)| *of == id).map(|(shard, position, _)| (shard, position))
    }

    fn fold_after(&self, record: &Record) -> Option<u64> {
        let mut sum = 0;
        for (_, _, id) in &self.accounts.get(&record.key)?.history {
            sum = fold(sum, *id);
            if *id == record.id {
                return Some(sum);
            }
        }
        None
    }

    /// Dense lsns from 1, epochs that only go up, no entry twice, and accounts as a plain map would have them.
    fn check_model(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut ids = BTreeMap::new();
        for (shard, commands) in (0..).map(ShardId).zip(&self.shards) {
            let mut epoch = 0;
            for (expected, (position, id)) in (1..).zip(commands) {
                if position.lsn.0 != expected || position.epoch.0 < epoch {
                    wrong.push(format!("{shard}: {position} stands where lsn {expected} should"));
                }
                epoch = position.epoch.0;
                if let Some(first) = ids.insert(*id, *position) {
                    wrong.push(format!("entry {id} is there twice: at {first} and {position}"));
                }
            }
        }
        for (key, account) in &self.accounts {
            let expected = account.history.iter().fold(0, |sum, (_, _, id)| fold(sum, *id));
            let ordered = account.history.is_sorted_by_key(|(_, lsn, _)| *lsn);
            if account.fold != expected || !ordered {
                wrong.push(format!("the account {key:?} is not what its entries make"));
            }
        }
        wrong
    }
}
