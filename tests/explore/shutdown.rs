//! The orderly end under every order of shards' ends, losses, deadlines and the keeper's end, repeated ones included.
//!
//! In scope: shards that finish, are lost before or while stopping, or never report; a keeper that ends when told,
//! before that, or never; several requests. Not modelled: what happens to commands in a lane that closes
//! (`loom/shutdown.rs`).

use std::collections::BTreeSet;

use mainstay::model::ShardId;
use mainstay::protocol::shutdown::{Effect, Event, Shutdown};

use crate::dfs::{Model, explore};

const SHARDS: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutant {
    None,
    /// Stops the keeper together with the first shard.
    StopsKeeperFirst,
    /// Counts ends instead of remembering who is owed.
    Counts,
}

#[derive(Clone, Debug)]
struct Root {
    core: Shutdown,
    mutant: Mutant,
    requested: bool,
    told: BTreeSet<ShardId>,
    ended: BTreeSet<ShardId>,
    lost: BTreeSet<ShardId>,
    abandoned: BTreeSet<ShardId>,
    /// Timers that run, and whether one has come.
    armed: u32,
    deadline: bool,
    keeper_told: bool,
    keeper_ended: bool,
    done: Option<BTreeSet<ShardId>>,
    ends_left: u32,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Request,
    Finish(ShardId),
    Lose(ShardId),
    Deadline,
    KeeperEnds,
}

impl Root {
    fn new(mutant: Mutant) -> Self {
        Self {
            core: Shutdown::new(SHARDS),
            mutant,
            requested: false,
            told: BTreeSet::new(),
            ended: BTreeSet::new(),
            lost: BTreeSet::new(),
            abandoned: BTreeSet::new(),
            armed: 0,
            deadline: false,
            keeper_told: false,
            keeper_ended: false,
            done: None,
            ends_left: SHARDS,
        }
    }

    fn shards() -> impl Iterator<Item = ShardId> {
        (0..SHARDS).map(ShardId)
    }

    fn feed(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.core.on_event(event, &mut effects);
        match self.mutant {
            Mutant::StopsKeeperFirst if event == Event::Requested && !effects.is_empty() => {
                effects.push(Effect::StopKeeper);
            }
            Mutant::Counts if matches!(event, Event::Finished(_)) && self.requested => {
                effects.clear();
                self.ends_left = self.ends_left.saturating_sub(1);
                if self.ends_left == 0 && !self.keeper_told {
                    effects.push(Effect::StopKeeper);
                }
            }
            _ => {}
        }
        for effect in effects {
            self.carry_out(effect);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        assert_eq!(self.done, None, "{effect:?} after the end");
        assert!(self.requested, "{effect:?} before anybody asked");
        match effect {
            Effect::Arm => self.armed += 1,
            Effect::CloseGates => assert!(self.told.is_empty(), "gates close before the drain"),
            Effect::Finish(shard) => {
                assert!(!self.lost.contains(&shard), "a lost shard is drained");
                assert!(self.told.insert(shard), "a shard is drained once");
            }
            Effect::Abandon(shard) => {
                assert!(self.deadline, "abandoned before the deadline");
                assert!(!self.ended.contains(&shard) && !self.lost.contains(&shard));
                assert!(self.abandoned.insert(shard), "a shard is abandoned once");
            }
            Effect::StopKeeper => {
                let owed = Self::shards().filter(|shard| !self.is_settled(*shard)).count();
                assert_eq!(owed, 0, "the keeper stops while shards may still ask it");
                assert!(!self.keeper_told, "the keeper is stopped once");
                self.keeper_told = true;
            }
            Effect::Done(unfinished) => {
                let settled = Self::shards().all(|shard| self.is_settled(shard));
                assert!(self.keeper_ended || self.deadline, "done while the keeper works");
                assert!(settled || self.keeper_ended, "done while shards are owed");
                let finished = |shard: &ShardId| {
                    self.ended.contains(shard) && !self.lost.contains(shard) && !self.abandoned.contains(shard)
                };
                let expected: BTreeSet<_> = Self::shards().filter(|s| !finished(s)).collect();
                assert_eq!(unfinished, expected, "who has not finished is named");
                self.done = Some(unfinished);
            }
        }
    }

    fn is_settled(&self, shard: ShardId) -> bool {
        [&self.ended, &self.lost, &self.abandoned].iter().any(|set| set.contains(&shard))
    }
}

impl Model for Root {
    type Step = Step;

    fn steps(&self) -> Vec<Step> {
        let mut steps = vec![Step::Request];
        // A shard may report again what it has reported; an abandoned one may still end.
        steps.extend(self.told.iter().map(|shard| Step::Finish(*shard)));
        steps.extend(Self::shards().map(Step::Lose));
        if self.armed > 0 {
            steps.push(Step::Deadline);
        }
        if self.requested {
            steps.push(Step::KeeperEnds);
        }
        steps
    }

    fn take(&mut self, step: Step) {
        // The first report of a shard counts, and none counts once the shard was given up.
        match step {
            Step::Request => {
                self.requested = true;
                self.feed(Event::Requested);
            }
            Step::Finish(shard) => {
                if !self.is_settled(shard) {
                    self.ended.insert(shard);
                }
                self.feed(Event::Finished(shard));
            }
            Step::Lose(shard) => {
                if !self.is_settled(shard) && self.done.is_none() {
                    self.lost.insert(shard);
                }
                self.feed(Event::Lost(shard));
            }
            Step::Deadline => {
                (self.armed, self.deadline) = (self.armed - 1, true);
                self.feed(Event::Deadline);
            }
            Step::KeeperEnds => {
                self.keeper_ended = true;
                self.feed(Event::KeeperStopped);
            }
        }
        if self.requested && Self::shards().all(|shard| self.is_settled(shard)) {
            assert!(self.keeper_told || self.done.is_some(), "nobody is owed, and nothing happens");
        }
        if self.requested && self.done.is_none() {
            assert!(self.armed > 0, "waits, and no deadline will ever come");
        }
        if self.keeper_told && self.keeper_ended {
            assert!(self.done.is_some(), "everybody has ended, and nobody is told");
        }
    }

    fn at_rest(&self) {}
}

/// Guards F33, F35: a set of shards still owed, so that repeated and missing reports are harmless.
#[test]
fn the_runtime_ends_leaf_last() {
    assert!(explore("shutdown", Root::new(Mutant::None)) > 100);
}

/// Guards F39.
#[test]
#[should_panic(expected = "the keeper stops while shards may still ask it")]
fn mutant_a_keeper_that_stops_first_is_noticed() {
    explore("shutdown, keeper first", Root::new(Mutant::StopsKeeperFirst));
}

/// Guards F35.
#[test]
#[should_panic(expected = "the keeper stops while shards may still ask it")]
fn mutant_a_countdown_is_noticed() {
    explore("shutdown, countdown", Root::new(Mutant::Counts));
}
