//! What a rollback makes of the answers in the book.
//!
//! What was acknowledged behind the version, before the rollback was asked for, is all there (it was not committed) or
//! all gone (it was), in every shard alike. What is acknowledged while it goes on may be of either line: there, unless
//! it was committed. What is acknowledged after it was told, or after an opening, is there.

use mainstay::{Durability, Outcome, Position, Version, VersionError, VersionId};

use super::{Book, Found, Record};

/// When something was answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Before anybody wanted to go back.
    #[default]
    First,
    /// While it was going on, and for as long as nobody knows what has become of it.
    Meanwhile,
    /// Nobody knows, and all shards have to be fenced.
    Fenced,
    /// Behind its answer, or behind an opening.
    After,
}

/// What was said about the rollback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Told {
    #[default]
    Nothing,
    Counts,
    CountsNot,
    /// A shard has failed: nothing was touched, or it counts.
    Shard,
}

/// The one rollback of a book.
#[derive(Clone, Debug, Default)]
pub struct Rollback {
    phase: Phase,
    told: Told,
    /// Where it goes back to; `None`: nobody has asked for it.
    to: Option<(VersionId, Vec<Position>)>,
    /// Versions that were told of, and when.
    versions: Vec<(VersionId, Phase)>,
}

/// Which line an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// Below the version, or of a book without a rollback.
    Both,
    /// Gone, if the rollback counts.
    Old,
    Either,
    Fenced,
    /// There, whether it counts or not.
    Present,
}

impl Rollback {
    pub fn phase(&self) -> Phase {
        self.phase
    }

    pub fn told_of(&mut self, version: &Version) {
        self.versions.push((version.id, self.phase));
    }

    /// Was the version made behind that of the rollback, and before that?
    fn is_dropped(&self, version: VersionId, phase: Phase) -> bool {
        phase == Phase::First && self.to.as_ref().is_some_and(|(to, _)| version > *to)
    }

    fn line(&self, record: &Record) -> Line {
        match record.phase {
            Phase::First => match (&self.to, record.given()) {
                (Some((_, ends)), Some((shard, position))) if position >= ends[shard.0 as usize] => Line::Old,
                _ => Line::Both,
            },
            Phase::Meanwhile => Line::Either,
            Phase::Fenced => Line::Fenced,
            Phase::After => Line::Present,
        }
    }

    /// The newest version that has to be there, and those that must not, if what is listed shows that it counts. The
    /// oldest are retired first: without a rollback the next one does not go before the one that it goes back to.
    fn check_versions(&self, listed: &[Version]) -> Vec<String> {
        let is_there = |id: VersionId| listed.iter().any(|version| version.id == id);
        let dropped = |of: &&(VersionId, Phase)| self.is_dropped(of.0, of.1);
        let is_back = self.to.as_ref().is_some_and(|(to, _)| is_there(*to))
            && self.versions.iter().any(|told| dropped(&told) && !is_there(told.0));
        let newest = listed.last().map_or(VersionId(0), |version| version.id);
        let mut wrong = Vec::new();
        for (id, phase) in &self.versions {
            let dropped = is_back && self.is_dropped(*id, *phase);
            let may_be_gone = dropped || is_back && *phase == Phase::Meanwhile;
            if dropped && is_there(*id) {
                wrong.push(format!("{id} is there, and one beside it is gone with the rollback"));
            }
            if !may_be_gone && newest < *id {
                wrong.push(format!("{id} was made, and {newest} is the newest"));
            }
        }
        wrong
    }
}

impl Book {
    /// Somebody asks to go back. There has to be something durable to lose, in every shard.
    pub fn asks_to_go_back(&self, version: &Version) {
        let mut rollback = self.rollback.lock().unwrap();
        assert!(rollback.to.is_none(), "one rollback a book");
        rollback.to = Some((version.id, version.ends.clone()));
        rollback.phase = Phase::Meanwhile;
        let records = self.records.lock().unwrap();
        let lost = records.iter().filter(|record| is_durable(record) && rollback.line(record) == Line::Old);
        let shards: Vec<_> = lost.filter_map(|record| record.given()).map(|(shard, _)| shard.0 as usize).collect();
        assert!((0..version.ends.len()).all(|shard| shards.contains(&shard)), "{shards:?}");
    }

    /// What the rollback has come to; `None`: nobody waits any more.
    pub fn told_of_rollback(&self, told: Option<&Result<(), VersionError>>) {
        let mut rollback = self.rollback.lock().unwrap();
        (rollback.told, rollback.phase) = match told {
            Some(Ok(())) => (Told::Counts, Phase::After),
            Some(Err(VersionError::NotCommitted | VersionError::Unreachable { .. } | VersionError::Unknown(_))) => {
                (Told::CountsNot, Phase::After)
            }
            Some(Err(VersionError::Shard(_))) => (Told::Shard, Phase::After),
            Some(Err(VersionError::Indeterminate)) => (Told::Nothing, Phase::Fenced),
            Some(Err(_)) | None => (Told::Nothing, Phase::Meanwhile),
        };
    }

    /// A directory was opened: what is on its line now stays.
    pub fn opened(&self) {
        let mut rollback = self.rollback.lock().unwrap();
        if rollback.phase != Phase::First {
            rollback.phase = Phase::After;
        }
    }

    /// Another book has learnt meanwhile that a rollback is asked for: it may have been by the end of this one.
    pub fn may_go_back(&self, later: &Self) {
        let (mut rollback, to) = (self.rollback.lock().unwrap(), later.rollback.lock().unwrap().to.clone());
        if rollback.to.is_none() && to.is_some() {
            (rollback.to, rollback.phase) = (to, Phase::Meanwhile);
        }
    }

    pub(super) fn phase(&self) -> Phase {
        self.rollback.lock().unwrap().phase
    }

    /// The newest version is there, or one that is newer still; but for those that a rollback has dropped.
    pub fn check_versions(&self, versions: &[Version]) -> Vec<String> {
        self.rollback.lock().unwrap().check_versions(versions)
    }

    /// Does the rollback count? Something durable is gone with it.
    pub(super) fn is_back(&self, found: &Found) -> bool {
        let rollback = self.rollback.lock().unwrap();
        let records = self.records.lock().unwrap();
        let mut old = records.iter().filter(|record| rollback.line(record) == Line::Old);
        old.any(|record| is_durable(record) && found.position_of(record.id).is_none())
    }

    /// One line or the other, in all shards; and the one that was told.
    pub(super) fn check_lines(&self, found: &Found) -> Vec<String> {
        let is_back = self.is_back(found);
        let rollback = self.rollback.lock().unwrap();
        let mut wrong = Vec::new();
        match rollback.told {
            Told::Counts if !is_back => wrong.push("the rollback is gone".to_owned()),
            Told::CountsNot if is_back => wrong.push("the rollback has failed, and counts".to_owned()),
            Told::Shard if is_back && self.only_reads_failed => {
                wrong.push("the rollback counts, and a shard has failed for lack of a file".to_owned());
            }
            _ => {}
        }
        for record in self.records.lock().unwrap().iter() {
            let (id, is_there) = (record.id, found.position_of(record.id).is_some());
            let line = rollback.line(record);
            if is_back && line == Line::Old && is_there {
                wrong.push(format!("a mix: entry {id} is there, and another one behind the version is gone"));
            }
            if is_back && line == Line::Both && record.answer.is_ok() && !is_there {
                wrong.push(format!("the rollback counts, and entry {id} in front of its version is gone"));
            }
            if line == Line::Fenced && record.answer.is_ok() {
                wrong.push(format!("entry {id} was answered by a shard that has to be fenced"));
            }
        }
        wrong
    }

    /// Is it no breach of a promise that this is gone?
    pub(super) fn is_abandoned(&self, record: &Record, is_back: bool) -> bool {
        is_back && matches!(self.rollback.lock().unwrap().line(record), Line::Old | Line::Either)
    }

    /// Was the outcome asked for when the rollback could still come?
    pub(super) fn may_be_abandoned(&self, id: u64, is_back: bool) -> bool {
        if !is_back || self.rollback.lock().unwrap().told == Told::Counts {
            return false;
        }
        let records = self.records();
        records.iter().any(|record| record.id == id && self.is_abandoned(record, is_back))
    }

    /// What a reopened runtime may say about something that is not there.
    pub(super) fn may_say(&self, record: &Record, is_back: bool, outcome: Outcome) -> bool {
        if !self.is_abandoned(record, is_back) {
            return outcome == Outcome::NotExecuted;
        }
        // It was there, so it cannot be said that it was not executed.
        let was_there = is_durable(record) && self.rollback.lock().unwrap().line(record) == Line::Old;
        outcome == Outcome::RolledBack || outcome == Outcome::NotExecuted && !was_there
    }
}

fn is_durable(record: &Record) -> bool {
    record.answer.as_ref().is_ok_and(|receipt| receipt.durability == Durability::Durable)
}
