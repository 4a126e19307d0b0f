//! The spiller's shell, the disk, and readers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mainstay::model::{ColdSeq, EditOutcome};
use mainstay::protocol::spill::{Adopted, Effect, Event, Failure, Gate, Job, Plan, Spiller, Written};

use super::disk::{Edit, Keeper, Manifest, Snapshot};
use super::shard::{Content, Key, Made, Map, Shard, Value, Version, files_of, readable};
use super::{Left, Mutant};

const PLAN: Plan = Plan { batch_bytes: 3, patience_ms: u64::MAX };

/// A root: a map that nobody changes, with its files open.
#[derive(Clone, Debug)]
pub(super) struct Root {
    state: Content,
    map: Map,
    open: BTreeMap<ColdSeq, Content>,
}

/// The thread that writes a file; without sources it spills.
#[derive(Clone, Debug)]
pub(super) struct Writing {
    job: Job,
    sources: Vec<ColdSeq>,
    bytes: u64,
    root: Root,
}

/// Of the shard.
#[derive(Clone, Debug)]
pub(super) enum Life {
    Lives,
    Dead,
    /// The next one was made from the files, and claims those that it refers to.
    Claims(Shard),
}

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) mutant: Mutant,
    pub(super) left: Left,
    pub(super) core: Spiller,
    pub(super) now_ms: u64,
    pub(super) shard: Shard,
    pub(super) life: Life,
    /// Files of lives that died over them, for the next opening.
    pub(super) left_over: BTreeSet<ColdSeq>,
    pub(super) gate: Gate,
    /// What every key should have, and all commands so far, durable at once.
    pub(super) state: Content,
    pub(super) log: Vec<(Key, Option<Version>)>,
    pub(super) writing: Option<Writing>,
    /// A file until it is handed over or removed; and is the message for that on its way?
    pub(super) made: Option<Made>,
    pub(super) is_handing_over: bool,
    pub(super) keeper: Keeper,
    pub(super) files: BTreeMap<ColdSeq, Content>,
    pub(super) to_unlink: Vec<ColdSeq>,
    /// A prune was lost: what it would have dropped stays until the next one.
    pub(super) has_lost_a_prune: bool,
    pub(super) is_stopped: bool,
    /// The core was told that nobody knows how an edit of its own ended.
    is_uncertain: bool,
    pub(super) next: ColdSeq,
    /// Numbers that the manifest has named. One that it may have named counts once an opening has found it.
    named: BTreeSet<ColdSeq>,
    /// What this life has asked to release.
    released: BTreeSet<ColdSeq>,
    pub(super) reader: Option<Root>,
    pub(super) taking: Option<Snapshot>,
}

impl World {
    /// All keys in memory; or all in one cold file, which the snapshot names.
    pub(super) fn new(mutant: Mutant, left: Left) -> Self {
        let state: Content = (1..=left.keys).map(|key| (key, key)).collect();
        let first = ColdSeq(1);
        let place = |version| if left.is_cold { Value::Cold(first) } else { Value::Here(version) };
        let map: Map = state.iter().map(|(key, version)| (*key, place(*version))).collect();
        let files = BTreeMap::from_iter(left.is_cold.then(|| (first, state.clone())));
        let cold: BTreeMap<_, _> = files.keys().map(|file| (*file, false)).collect();
        let snapshot = Snapshot { state: state.clone(), map, end: 0 };
        let next = ColdSeq(1 + files.len() as u64);
        let manifest = Manifest { cold, next, snapshots: vec![snapshot] };
        let mut world = Self {
            mutant,
            left,
            core: Spiller::new(PLAN, []),
            now_ms: 0,
            shard: Shard::new(Map::new(), left.mark, BTreeMap::new()),
            life: Life::Dead,
            left_over: BTreeSet::new(),
            gate: Gate::Open,
            state,
            log: Vec::new(),
            writing: None,
            made: None,
            is_handing_over: false,
            keeper: Keeper { mutant, manifest, queue: VecDeque::new(), maybe: None },
            files,
            to_unlink: Vec::new(),
            has_lost_a_prune: false,
            is_stopped: false,
            is_uncertain: false,
            next,
            named: BTreeSet::new(),
            released: BTreeSet::new(),
            reader: None,
            taking: None,
        };
        world.open();
        world
    }

    pub(super) fn lives(&self) -> bool {
        matches!(self.life, Life::Lives)
    }

    /// A life begins with what the manifest says.
    fn open(&mut self) {
        let manifest = &self.keeper.manifest;
        let on_disk = self.files.keys().map(|file| file.next());
        self.next = on_disk.chain([manifest.next]).max().expect("there is one");
        self.named.extend(manifest.cold.keys());
        // What is not named is left over.
        self.files.retain(|file, _| manifest.cold.contains_key(file));
        self.left_over.clear();
        let shard = self.read();
        self.keeper.queue.push_back(Edit::Claim(files_of(&shard.map)));
        self.life = Life::Claims(shard);
        self.edit(EditOutcome::Committed);
    }

    /// The newest snapshot, and the log behind it.
    fn read(&self) -> Shard {
        let newest = self.keeper.manifest.newest().clone();
        let values: BTreeMap<_, _> = self.files.iter().map(|(file, content)| (*file, content.len() as u64)).collect();
        let mut shard = Shard::new(newest.map, self.left.mark, values);
        self.log.iter().skip(newest.end).for_each(|(key, version)| shard.apply(*key, *version));
        Shard::new(shard.map, self.left.mark, shard.values)
    }

    /// A life begins with what was read.
    fn begin_life(&mut self, shard: Shard) {
        (self.shard, self.life) = (shard, Life::Lives);
        // Edits of the one before are declined from now on.
        self.keeper.queue.retain(|edit| !matches!(edit, Edit::Chill(..) | Edit::Release(_)));
        let adopted = self.keeper.manifest.cold.iter().map(|(file, released)| {
            let values = self.files.get(file).expect("it is there").len() as u64;
            (*file, Adopted { bytes: values, values, live: self.shard.live(*file), released: *released })
        });
        (self.core, self.gate) = (Spiller::new(PLAN, adopted), Gate::Open);
        self.feed(Event::Look);
    }

    /// The shard is gone, and its spiller. What they have sent is on its way; so are a snapshot and what it pins.
    pub(super) fn die(&mut self) {
        self.left.deaths -= 1;
        self.life = Life::Dead;
        self.left_over.extend(self.made.take().map(|made| made.file));
        (self.writing, self.is_handing_over) = (None, false);
        self.released.clear();
        self.shard = Shard::new(Map::new(), self.left.mark, BTreeMap::new());
        (self.core, self.gate) = (Spiller::new(PLAN, []), Gate::Open);
        self.feed(Event::Stop);
    }

    pub(super) fn read_again(&mut self) {
        let shard = self.read();
        self.keeper.queue.push_back(Edit::Claim(files_of(&shard.map)));
        self.life = Life::Claims(shard);
    }

    /// Everything in memory is gone. Does the edit count of which nobody knew it?
    pub(super) fn crash(&mut self, counts: bool) {
        self.left.crashes -= 1;
        let maybe = self.keeper.maybe.take();
        if let Some(manifest) = maybe.filter(|_| counts) {
            self.keeper.manifest = manifest;
        }
        self.keeper.queue.clear();
        (self.writing, self.made, self.is_handing_over) = (None, None, false);
        (self.reader, self.taking, self.is_stopped) = (None, None, false);
        self.is_uncertain = false;
        self.to_unlink.clear();
        self.released.clear();
        self.open();
    }

    pub(super) fn root(&self) -> Root {
        let map = self.shard.map.clone();
        let open = files_of(&map).into_iter();
        let open = open.filter_map(|file| Some((file, self.files.get(&file)?.clone()))).collect();
        Root { state: self.state.clone(), map, open }
    }

    pub(super) fn feed(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.core.on_event(self.now_ms, event.clone(), &mut effects);
        if let (Mutant::RemovesTheUncertain, Event::Committed(job, EditOutcome::Indeterminate)) = (self.mutant, event) {
            effects.push(Effect::Remove(job));
        }
        effects.into_iter().for_each(|effect| self.carry_out(effect));
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Spill { job, bytes } => self.begin(job, Vec::new(), bytes),
            Effect::Compact { job, files } => {
                assert!(files.iter().all(|file| !self.released.contains(file)), "copies from what is released");
                self.begin(job, files, u64::MAX);
            }
            Effect::Commit(job) => {
                let made = self.made.as_ref().filter(|made| made.job == job).expect("its file is there");
                self.keeper.queue.push_back(Edit::Chill(job, made.file));
                if self.mutant == Mutant::HandsOverFirst {
                    self.shard.replace(made, self.mutant);
                }
            }
            Effect::HandOver(job) => {
                let file = self.made.as_ref().filter(|made| made.job == job).map(|made| made.file);
                let is_adopted = file.is_some_and(|file| self.keeper.manifest.cold.contains_key(&file));
                assert!(is_adopted, "hands over what the manifest has not adopted");
                self.is_handing_over = true;
            }
            Effect::Remove(job) => {
                let made = self.made.take().filter(|made| made.job == job).expect("its file is there");
                self.remove(made.file);
            }
            Effect::Release(files) => {
                let is_live = |file: &ColdSeq| self.shard.live(*file) > 0;
                assert!(!files.iter().any(is_live), "releases what is live");
                self.released.extend(&files);
                self.keeper.queue.push_back(Edit::Release(files));
            }
            Effect::Prune => self.prune(),
            Effect::Gate(gate) => {
                assert_ne!(gate, self.gate, "told twice");
                self.gate = gate;
            }
        }
    }

    fn begin(&mut self, job: Job, sources: Vec<ColdSeq>, bytes: u64) {
        assert!(self.writing.is_none() && self.made.is_none(), "two jobs at a time");
        assert!(!self.is_uncertain, "begun, and nobody knows what counts");
        self.writing = Some(Writing { job, sources, bytes, root: self.root() });
    }

    /// The thread has written its file, or found nothing to write.
    pub(super) fn write(&mut self) {
        let Writing { job, sources, bytes, root } = self.writing.take().expect("it writes");
        let is_wanted = |value: &Value| match value {
            Value::Here(_) => sources.is_empty(),
            Value::Cold(file) => sources.contains(file),
        };
        let wanted = root.map.iter().filter(|(_, value)| is_wanted(value)).take(bytes as usize);
        let copied: Map = wanted.map(|(key, value)| (*key, *value)).collect();
        if copied.is_empty() {
            return self.feed(Event::Failed(job, Failure::Nothing));
        }
        let free = (1..).map(ColdSeq).find(|file| !self.files.contains_key(file)).expect("a number is free");
        let file = if self.mutant == Mutant::ReusesNumbers { free } else { self.next };
        self.next = self.next.next();
        let is_named = self.keeper.possible().any(|manifest| manifest.cold.contains_key(&file));
        assert!(!is_named && !self.named.contains(&file), "a number is used twice");
        let content = readable(&copied, &root.open);
        assert_eq!(content.len(), copied.len(), "a job cannot read its own root");
        assert!(self.files.insert(file, content).is_none(), "a file is overwritten");
        let values = copied.len() as u64;
        self.made = Some(Made { job, file, copied, sources });
        self.feed(Event::Written(job, Written { file, bytes: values, values }));
    }

    pub(super) fn fail(&mut self) {
        let writing = self.writing.take().expect("it writes");
        self.feed(Event::Failed(writing.job, Failure::Full));
    }

    pub(super) fn prune(&mut self) {
        self.keeper.queue.push_back(Edit::Prune);
        if self.mutant == Mutant::UnlinksFirst {
            self.keeper.droppable().into_iter().for_each(|file| _ = self.files.remove(&file));
        }
    }

    /// An edit ends.
    pub(super) fn edit(&mut self, fate: EditOutcome) {
        let (edit, outcome, dropped) = self.keeper.carry_out(fate);
        let is_committed = outcome == EditOutcome::Committed;
        let is_the_cores = self.lives() && matches!(edit, Edit::Chill(..) | Edit::Release(_));
        self.is_uncertain |= is_the_cores && outcome == EditOutcome::Indeterminate;
        self.to_unlink.extend(dropped);
        match edit {
            Edit::Chill(job, file) => {
                if is_committed {
                    self.named.insert(file);
                }
                if is_the_cores {
                    self.feed(Event::Committed(job, outcome));
                }
            }
            Edit::Release(files) if is_the_cores => self.feed(Event::Released(files, outcome)),
            Edit::Release(_) => {}
            Edit::Claim(_) => match std::mem::replace(&mut self.life, Life::Dead) {
                Life::Claims(shard) if is_committed => self.begin_life(shard),
                _ => {}
            },
            Edit::Prune => self.has_lost_a_prune |= !is_committed,
            Edit::Adopt(_) | Edit::Retire if is_committed => self.prune(),
            Edit::Adopt(_) | Edit::Retire => {}
        }
    }

    pub(super) fn hand_over(&mut self) {
        self.is_handing_over = false;
        let made = self.made.take().expect("there is something to hand over");
        if self.mutant != Mutant::HandsOverFirst {
            self.shard.replace(&made, self.mutant);
        }
        self.shard.handed_over(&made);
    }

    /// A file's name goes. Whoever has it open reads on.
    pub(super) fn remove(&mut self, file: ColdSeq) {
        assert_eq!(self.shard.live(file), 0, "removes what the working map needs");
        for manifest in self.keeper.possible() {
            assert!(!manifest.needed().contains(&file), "removes what a snapshot needs");
            assert!(!manifest.cold.contains_key(&file), "removes what the manifest may name");
        }
        assert!(self.files.remove(&file).is_some(), "removes what is not there");
    }

    pub(super) fn check(&self) {
        if self.lives() {
            let working = readable(&self.shard.map, &self.files);
            assert_eq!(working, self.state, "the working map has lost something");
            assert_eq!(self.shard.map.len(), self.state.len(), "something is not readable, or has come back");
        }
        self.keeper.check(&self.files);
        if let Some(root) = &self.reader {
            assert_eq!(readable(&root.map, &root.open), root.state, "a reader has lost something");
        }
        let is_handed_over = |event: &Event| matches!(event, Event::HandedOver(..));
        let runs = self.writing.is_some() || self.made.is_some() || self.shard.mail.iter().any(is_handed_over);
        assert!(self.gate != Gate::Wait || runs, "somebody waits for nobody");
        assert_eq!(self.gate, self.core.gate());
    }
}
