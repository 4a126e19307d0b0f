//! What is left: the disk after a power cut, and the disk that another process finds after a kill.

use std::collections::{BTreeMap, BTreeSet};

use super::content::{Content, Unsynced};
use super::disk::SimDisk;
use super::image::{Image, PIECE_BYTES, Piece};
use super::plan::Plan;
use super::random::Random;
use super::state::{Inode, State};
use super::tree::{InodeId, Names, Node, Tree};

impl SimDisk {
    /// The disk after a power cut at this instant: another one, whose content is the seed's choice among everything
    /// that the model allows.
    ///
    /// All of it is durable. Nothing is locked, broken, full or armed there, and its calls count from 0. This disk
    /// goes on as if nothing had happened.
    pub fn crash(&self, seed: u64) -> SimDisk {
        SimDisk::from_state(self.state().after_crash(seed))
    }

    /// The disk as another process finds it after `kill -9`: another one, with all that the cache has.
    ///
    /// What was not durable is still not: a crash of that disk may lose it, and the pages of a failed sync stay
    /// clean. What belongs to the machine stays as it is too: a full disk, files that are broken for good, the lies
    /// about syncs. What belongs to the process is gone: locks, armed faults, stalls, the trace and the count.
    ///
    /// If the power is cut already there is no cache left, and this is [`SimDisk::crash`] with the disk's own seed.
    pub fn after_kill(&self) -> SimDisk {
        let state = self.state();
        let copy = if state.powered { state.after_kill() } else { state.after_crash(state.seed) };
        drop(state);
        SimDisk::from_state(copy)
    }
}

impl State {
    fn after_crash(&self, seed: u64) -> State {
        let mut random = Random::new(seed);
        let names = self.tree.after_crash(&mut random);
        let mut inodes = BTreeMap::new();
        for inode in files_of(&names) {
            let image = self.inodes.get(&inode).map(|found| after_crash(&found.content, &mut random));
            inodes.insert(inode, Inode::new(Content::durable(image.unwrap_or_default())));
        }
        State {
            tree: Tree::durable(names),
            inodes,
            next_inode: self.next_inode,
            file_system: self.file_system,
            ..State::new(random.number())
        }
    }

    fn after_kill(&self) -> State {
        let named = self.tree.inodes();
        let inodes = self.inodes.iter().filter(|(inode, _)| named.contains(inode));
        State {
            random: self.random.clone(),
            tree: self.tree.clone(),
            inodes: inodes.map(|(id, found)| (*id, Inode::new(found.content.clone()))).collect(),
            next_inode: self.next_inode,
            plan: Plan { broken: self.plan.broken.clone(), full: self.plan.full, ..Plan::default() },
            lies: self.lies,
            file_system: self.file_system,
            ..State::new(self.seed)
        }
    }
}

fn files_of(names: &Names) -> BTreeSet<InodeId> {
    let files = names.values().filter_map(|node| match node {
        Node::File(inode) => Some(*inode),
        Node::Directory => None,
    });
    files.collect()
}

/// Which of a file's unsynced pieces, counted from its start, reach the disk.
#[derive(Clone, Copy, Debug)]
enum Survival {
    Nothing,
    Everything,
    First { count: usize },
    OneIn { chance: u64 },
    AllButOneIn { chance: u64 },
}

impl Survival {
    fn choose(piece_count: usize, random: &mut Random) -> Self {
        match random.below(6) {
            0 => Self::Nothing,
            1 => Self::Everything,
            2 => Self::First { count: random.below_index(piece_count + 1) },
            3 => Self::OneIn { chance: 8 },
            4 => Self::AllButOneIn { chance: 8 },
            _ => Self::OneIn { chance: 2 },
        }
    }

    fn keeps(self, position: usize, random: &mut Random) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::First { count } => position < count,
            Self::OneIn { chance } => random.one_in(chance),
            Self::AllButOneIn { chance } => !random.one_in(chance),
        }
    }

    /// Mostly what the piece is now, sometimes what it was between two writes.
    fn written_state(self, unsynced: &Unsynced, new: Piece, random: &mut Random) -> Piece {
        let recent = matches!(self, Self::Everything) || random.below(4) < 3;
        let earlier = unsynced.earlier.get(random.below_index(unsynced.earlier.len()));
        earlier.filter(|_| !recent).map_or(new, |(_, piece)| **piece)
    }

    /// The position of the piece that is torn, if any.
    fn torn(self, piece_count: usize, random: &mut Random) -> Option<usize> {
        let position = match self {
            Self::Nothing | Self::Everything => return None,
            Self::First { count } => count,
            Self::OneIn { .. } | Self::AllButOneIn { .. } => random.below_index(piece_count),
        };
        random.one_in(2).then_some(position)
    }
}

/// What the disk has of a file after a crash.
fn after_crash(content: &Content, random: &mut Random) -> Image {
    let mut image = content.on_disk().clone();
    let pieces = content.unsynced();
    let survival = Survival::choose(pieces.len(), random);
    image.extend(length_after_crash(content, survival, random));
    let torn = survival.torn(pieces.len(), random);
    for (position, (index, unsynced)) in pieces.iter().enumerate() {
        let old = content.on_disk().piece(*index);
        let new = content.cached().piece(*index);
        if torn == Some(position) {
            image.set_piece(*index, &tear(old, unsynced, new, random));
        } else if survival.keeps(position, random) {
            image.set_piece(*index, &survival.written_state(unsynced, new, random));
        }
    }
    image
}

fn length_after_crash(content: &Content, survival: Survival, random: &mut Random) -> u64 {
    let (old, new) = (content.on_disk().length(), content.length_asked());
    let any = random.between(old, new);
    match (survival, random.below(4)) {
        (Survival::Everything, _) | (_, 0) => new,
        (_, 1) => old,
        (_, 2) => (any - any % PIECE_BYTES as u64).max(old),
        _ => any,
    }
}

/// One of the piece's states up to some byte, an older one from there on, or the other way round.
fn tear(old: Piece, unsynced: &Unsynced, new: Piece, random: &mut Random) -> Piece {
    let mut states = vec![old];
    states.extend(unsynced.earlier.iter().map(|(_, piece)| **piece));
    states.push(new);
    let younger = 1 + random.below_index(states.len() - 1);
    let older = random.below_index(younger);
    let mut torn = states.get(older).copied().unwrap_or(old);
    let mut head = states.get(younger).copied().unwrap_or(new);
    if random.one_in(2) {
        std::mem::swap(&mut torn, &mut head);
    }
    let cut = random.below_index(PIECE_BYTES + 1);
    torn.iter_mut().zip(head).take(cut).for_each(|(byte, from)| *byte = from);
    torn
}
