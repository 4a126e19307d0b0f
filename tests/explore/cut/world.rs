//! The coordinator and what surrounds it: shards, a client, snapshot files and the manifest keeper.
//!
//! The client writes one command after another, each after the one before was acknowledged. So a version may hold a
//! command only if it holds all that came before: that is the instant which no acknowledged write straddles.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mainstay::model::{Edit, EditOutcome, Incarnation, Lsn, Position, ShardId, SnapshotRecord, SnapshotSeq, VersionId};
use mainstay::protocol::cut::{Cuts, Event, Kind, Limits, Stage};
use mainstay::protocol::hold::CutId;

use super::shard::Shard;

const LIMITS: Limits = Limits { sync_ms: 1, hold_ms: 2, write_ms: 3 };

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    None,
    /// Whoever answers a release counts as having held.
    BelievesEveryHold,
    /// Each shard is released as soon as it holds.
    ReleasesOneByOne,
    /// A writer answers for its boundary before it has synced.
    AnswersBeforeTheSync,
    /// Who still has to hold is counted.
    Counts,
    /// An abort releases only those who are known to hold.
    ForgetsWhoHasNotAnswered,
    /// Files are removed though they may be adopted.
    RemovesWhatMayBeAdopted,
    /// A cancelled snapshot that was written all the same is left where it is.
    ForgetsLateFiles,
}

/// How often what may still happen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Left {
    pub requests: u32,
    pub writes: u32,
    /// Deaths of shards, and of the coordinator.
    pub deaths: u32,
    pub crashes: u32,
    pub duplicates: u32,
    /// Shards that are unhealthy, snapshots and commits that fail.
    pub failures: u32,
    /// Deadlines and cancels.
    pub aborts: u32,
    /// Holds that end by themselves before they have to.
    pub lapses: u32,
}

/// What the present coordinator has done for the present request.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub cut: Option<CutId>,
    /// Told to hold, known to hold, told to release.
    pub hold: BTreeSet<ShardId>,
    pub held: BTreeMap<ShardId, Position>,
    pub release: BTreeSet<ShardId>,
    /// How the commit ended, as far as it knows.
    pub outcome: Option<EditOutcome>,
}

#[derive(Clone, Debug)]
pub struct World {
    pub mutant: Mutant,
    pub kind: Kind,
    pub left: Left,
    pub life: Incarnation,
    pub core: Option<Cuts>,
    pub asked: Option<Asked>,
    /// Deadlines; the last is the one that is not over.
    pub armed: BTreeSet<(CutId, Stage)>,
    pub shards: Vec<Shard>,
    pub deaths: VecDeque<Event>,
    /// Messages that are delivered a second time.
    pub late: Vec<Event>,
    /// The client's commands, and whether the last is acknowledged.
    pub written: Vec<(ShardId, Lsn)>,
    pub acknowledged: bool,
    /// Under way, with what they hold.
    pub snapshots: BTreeMap<(CutId, ShardId), Position>,
    next_snapshot: SnapshotSeq,
    pub next_version: VersionId,
    /// Files of snapshots, those that the manifest names, and those that it may name.
    pub files: BTreeMap<(ShardId, SnapshotSeq), CutId>,
    pub adopted: BTreeSet<(ShardId, SnapshotSeq)>,
    pub perhaps: BTreeSet<(ShardId, SnapshotSeq)>,
    /// At the keeper, and on its way back.
    pub commits: VecDeque<(CutId, Vec<Edit>)>,
    pub outcomes: VecDeque<Event>,
    pub committed: BTreeSet<CutId>,
}

/// The files that edits name.
pub fn adopts(edits: &[Edit]) -> impl Iterator<Item = (ShardId, SnapshotSeq)> {
    edits.iter().filter_map(|edit| match edit {
        Edit::Adopt { shard, snapshot, .. } => Some((*shard, *snapshot)),
        _ => None,
    })
}

impl World {
    pub fn new(mutant: Mutant, kind: Kind, shards: u32, left: Left) -> Self {
        Self {
            mutant,
            kind,
            left,
            life: Incarnation(1),
            core: Some(Cuts::new(LIMITS, shards, CutId::first_of(Incarnation(1)))),
            asked: None,
            armed: BTreeSet::new(),
            shards: (0..shards).map(|shard| Shard::new(ShardId(shard))).collect(),
            deaths: VecDeque::new(),
            late: Vec::new(),
            written: Vec::new(),
            acknowledged: true,
            snapshots: BTreeMap::new(),
            next_snapshot: SnapshotSeq(1),
            next_version: VersionId(1),
            files: BTreeMap::new(),
            adopted: BTreeSet::new(),
            perhaps: BTreeSet::new(),
            commits: VecDeque::new(),
            outcomes: VecDeque::new(),
            committed: BTreeSet::new(),
        }
    }

    pub fn shard(&mut self, shard: ShardId) -> &mut Shard {
        &mut self.shards[shard.0 as usize]
    }

    pub fn ids(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.shards.len() as u32).map(ShardId)
    }

    pub fn is_busy(&self) -> bool {
        self.asked.is_some()
    }

    /// The client's next command.
    pub fn write(&mut self, shard: ShardId) {
        let lsn = self.shard(shard).apply();
        self.written.push((shard, lsn));
        self.acknowledged = false;
    }

    pub fn sync(&mut self, shard: ShardId) {
        self.shard(shard).sync();
        self.acknowledged |= self.written.last().is_some_and(|(last, _)| *last == shard);
    }

    /// The shard's life ends, and with it a command that nobody was told about.
    pub fn kill(&mut self, shard: ShardId) {
        self.shard(shard).die();
        if !self.acknowledged && self.written.last().is_some_and(|(last, _)| *last == shard) {
            self.written.pop();
            self.acknowledged = true;
        }
        self.deaths.push_back(Event::Died(shard));
    }

    pub fn end_snapshot(&mut self, cut: CutId, shard: ShardId, is_written: bool) {
        let end = self.snapshots.remove(&(cut, shard)).expect("it is under way");
        if !is_written {
            return self.shard(shard).files.push_back(Event::SnapshotFailed { cut, shard });
        }
        let snapshot = self.next_snapshot;
        self.next_snapshot = snapshot.next();
        self.files.insert((shard, snapshot), cut);
        let record = SnapshotRecord { end, bytes: 0, entries: 0, hash: [0; 32], digest: None, cold: Vec::new() };
        self.shard(shard).files.push_back(Event::Written { cut, shard, snapshot, record });
    }

    pub fn end_commit(&mut self, outcome: EditOutcome) {
        let (cut, edits) = self.commits.pop_front().expect("a commit is under way");
        match outcome {
            EditOutcome::Committed => self.adopted.extend(adopts(&edits)),
            EditOutcome::Indeterminate => self.perhaps.extend(adopts(&edits)),
            EditOutcome::Declined(_) | EditOutcome::Failed => {}
        }
        self.outcomes.push_back(Event::Committed { cut, outcome });
    }

    /// A new request of this kind.
    pub fn request(&mut self) -> Event {
        let version = self.next_version;
        self.next_version = version.next();
        Event::Requested { kind: self.kind, version }
    }

    pub fn crash(&mut self) {
        self.core = None;
        self.asked = None;
        self.armed.clear();
    }

    pub fn begin_anew(&mut self) {
        self.life = self.life.next();
        let shards = self.shards.len() as u32;
        self.core = Some(Cuts::new(LIMITS, shards, CutId::first_of(self.life)));
    }
}
