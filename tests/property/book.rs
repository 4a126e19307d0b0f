//! [`ShardBook`]: what one shard has applied, what it was heard to answer, and what therefore must be there after
//! the next opening: a prefix, no shorter than what was promised, and that prefix's state.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use mainstay::kv::{Command, Entity, Refusal, Reply};
use mainstay::{Durability, Position, Receipt, SyncPolicy, View};

use crate::plain::Plain;
use crate::recorder::Applied;

/// How often what happened, over all cases.
pub type Tally = BTreeMap<&'static str, u64>;

#[derive(Default)]
pub struct ShardBook {
    /// Every command of the log, in order: the n-th has the lsn n + 1.
    pub log: Vec<Applied>,
    /// What a plain map answers to each of them.
    replies: Vec<Reply>,
    pub plain: Plain,
    /// Every position that was ever given to a command, also to one that was lost.
    positions: BTreeSet<Position>,
    /// So many commands of the log were answered: a kill must leave them.
    pub answered: usize,
    /// So many were promised to be synced: a power cut must leave them.
    pub durable: usize,
}

impl ShardBook {
    /// Takes up what the shard has applied meanwhile. A position is given once, and the next one is the next one.
    pub fn take_up(&mut self, applied: Vec<Applied>, tally: &mut Tally) {
        for applied in applied {
            assert_eq!(applied.position.lsn.0, self.log.len() as u64 + 1, "{applied:?}");
            assert!(self.positions.insert(applied.position), "given twice: {applied:?}");
            assert!(applied.time >= self.plain.time, "logged time goes back: {applied:?}");
            self.apply(&applied, Some(tally));
            self.log.push(applied);
        }
    }

    fn apply(&mut self, applied: &Applied, tally: Option<&mut Tally>) {
        self.plain.time = applied.time;
        let met_expired = key(&applied.command).is_some_and(|key| self.plain.has_expired(key));
        let reply = self.plain.apply(applied.time, &applied.command);
        if let Some(tally) = tally {
            *tally.entry(name(&applied.command)).or_default() += 1;
            *tally.entry(outcome(&reply)).or_default() += 1;
            *tally.entry("met what had expired").or_default() += u64::from(met_expired);
        }
        self.replies.push(reply);
    }

    /// A receipt has come: it says what a plain map says, and promises what the policy promises.
    pub fn hear(&mut self, receipt: &Receipt<Reply>, sync: SyncPolicy) {
        let index = receipt.position.lsn.0 as usize - 1;
        let applied = &self.log[index];
        assert_eq!(applied.position, receipt.position);
        assert_eq!(self.replies[index], receipt.reply, "{applied:?}");
        let durability = match sync {
            SyncPolicy::Always => Durability::Durable,
            SyncPolicy::Interval(_) => Durability::Accepted,
            SyncPolicy::Never => Durability::Written,
        };
        assert_eq!(receipt.durability, durability);
        self.answered = self.answered.max(index + 1);
        if receipt.durability == Durability::Durable {
            self.promise(index + 1);
        }
    }

    /// So many commands are synced, the runtime says.
    pub fn promise(&mut self, durable: usize) {
        self.durable = self.durable.max(durable);
    }

    /// A life has ended and its log was replayed: a prefix, command for command, position for position, time for
    /// time, which holds everything that had to survive. From here on it is the log. Returns how many are lost.
    pub fn survive(&mut self, replayed: &[Applied], least: usize) -> usize {
        let kept = replayed.len();
        assert!(kept >= least, "{kept} of {} are left, {least} were promised", self.log.len());
        assert!(kept <= self.log.len(), "invented: {:?}", &replayed[self.log.len()..]);
        assert_eq!(replayed, &self.log[..kept], "not what was applied");
        let lost = self.log.len() - kept;
        (self.plain, self.replies) = (Plain::default(), Vec::new());
        for applied in std::mem::take(&mut self.log).into_iter().take(kept) {
            self.apply(&applied, None);
            self.log.push(applied);
        }
        // Whoever has seen it in this life has to find it in the next one.
        self.answered = kept;
        self.durable = self.durable.min(kept);
        lost
    }

    /// The shard's whole state is the plain map, entry for entry, and so is its clock.
    pub fn compare(&self, view: &View<Entity>, shard: mainstay::ShardId) {
        let found = view.iter(shard).unwrap().map(|(key, entity)| {
            let value = (Bytes::copy_from_slice(entity.value()), entity.expires_ms());
            (Bytes::copy_from_slice(key), value)
        });
        assert_eq!(found.collect::<BTreeMap<_, _>>(), self.plain.entries);
        assert_eq!(view.time(shard).unwrap(), self.plain.time);
        assert_eq!(view.end(shard).unwrap().lsn.0, self.log.len() as u64 + 1);
    }
}

/// The one key of a command that has one.
fn key(command: &Command) -> Option<&Bytes> {
    match command {
        Command::Set { key, .. }
        | Command::Take { key }
        | Command::Increment { key, .. }
        | Command::Append { key, .. }
        | Command::CompareAndSet { key, .. }
        | Command::Expire { key, .. }
        | Command::Persist { key } => Some(key),
        _ => None,
    }
}

fn name(command: &Command) -> &'static str {
    match command {
        Command::Set { .. } => "Set",
        Command::SetMany { .. } => "SetMany",
        Command::Delete { .. } => "Delete",
        Command::Take { .. } => "Take",
        Command::Increment { .. } => "Increment",
        Command::Append { .. } => "Append",
        Command::CompareAndSet { .. } => "CompareAndSet",
        Command::Expire { .. } => "Expire",
        Command::Persist { .. } => "Persist",
        Command::Clear => "Clear",
        Command::Sweep { .. } => "Sweep",
        other => panic!("not drawn: {other:?}"),
    }
}

fn outcome(reply: &Reply) -> &'static str {
    match reply {
        Reply::Stored { previous: None } => "stored",
        Reply::Stored { previous: Some(_) } => "replaced",
        Reply::NotStored { .. } => "not stored",
        Reply::Removed { count: 0 } => "nothing to remove",
        Reply::Removed { .. } => "removed",
        Reply::Taken { value: None } => "nothing to take",
        Reply::Taken { value: Some(_) } => "taken",
        Reply::Number(_) => "number",
        Reply::Length(_) => "length",
        Reply::Rescheduled => "rescheduled",
        Reply::Unchanged => "unchanged",
        Reply::Refused(Refusal::NotAnInteger) => "not an integer",
        Reply::Refused(Refusal::Overflow) => "overflow",
        other => panic!("not drawn: {other:?}"),
    }
}
