//! Entities that a command lacks are read, off the runtime's workers, and the command runs again.
//!
//! While they are read the shard does nothing else; between two reads everybody else who wants something of it gets a
//! turn, so nobody waits for more than one of them. What has come of the reads is kept until the command is done,
//! however many it takes, and found as long as the map has the very entries that it was read for.
//!
//! With the command's own keys those are read that commands of its kind behind it will look for [first](super::ahead).
//! What was read is of no use to commands that lack nothing any more: it goes when the next one lacks something, but
//! for what that one and those behind it look for.

use std::io;
use std::time::Duration;

use ractor::ActorRef;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::ahead::Ahead;
use super::batch::NewBatch;
use super::{ShardMessage, ShardState};
use crate::actor::slot::Answer;
use crate::error::{NotExecuted, SubmitError};
use crate::machine::StateMachine;
use crate::model::{ColdFault, Unreadable};
use crate::state::read_cold;
use crate::storage::codec::{self, Encoded};
use crate::sync::claim::Port;

/// A command that was accepted and is not applied yet.
pub(super) struct Lacking<M: StateMachine> {
    pub(super) bytes: Encoded,
    pub(super) port: Port<Answer<M>>,
    pub(super) charge: u32,
    /// Of its key: where it looks first.
    pub(super) hash: u64,
    /// Something was read for it.
    pub(super) has_read: bool,
    /// It waits no longer than this; none: it has not waited yet. In the lane nobody looks after it any more, and for
    /// the log it does not wait yet.
    pub(super) expires_ms: Option<u64>,
}

impl<M: StateMachine> ShardState<M> {
    /// Runs the command that lacked something once more, if there is room for it in the log. Gives it back if it has to
    /// wait for that, or lacks something still.
    pub(super) fn go_on(
        &mut self,
        lacking: Lacking<M>,
        has_room: bool,
        is_full: bool,
        batch: &mut NewBatch<M>,
    ) -> Option<Lacking<M>> {
        if !has_room && !is_full {
            return Some(lacking);
        }
        if !has_room {
            self.refuse(lacking, NotExecuted::StorageFull);
            return None;
        }
        batch.taken += 1;
        match codec::decode(&lacking.bytes) {
            Ok(command) => self.run(lacking, command, batch),
            Err(error) => self.refuse(lacking, NotExecuted::NotEncodable(error.to_string())),
        }
        self.lacking.take()
    }

    /// Reads what the command lacks; if that cannot be read it is not executed.
    pub(super) async fn thaw(&mut self) {
        let Some(lacking) = &mut self.lacking else { return };
        let (kind, hash) = (lacking.bytes.first().copied(), lacking.hash);
        let is_next_command = !std::mem::replace(&mut lacking.has_read, true);
        let mut wanted = std::mem::take(self.scratch.wanted());
        let own = wanted.len();
        let Ahead { mut here, lacking } = self.ahead(kind);
        if is_next_command {
            here.extend(self.map.cold_at(hash).cloned());
            self.return_thawed(&here);
        }
        wanted.extend(lacking);
        let (cold, shard, entries) = (self.cold.clone(), self.slot.shard, wanted.clone());
        let read = spawn_blocking(move || {
            let read = entries.iter().map(|entry| read_cold(cold.as_deref(), shard, entry));
            read.collect::<Vec<_>>()
        });
        // Who reads may hang, and those behind it do not wait for that.
        let Ok(Ok(read)) = timeout(Duration::from_millis(self.sync_deadline_ms), read).await else {
            let location = wanted.first().and_then(|entry| entry.location());
            let late = |at| Unreadable::new(shard, at, ColdFault::Disk(io::ErrorKind::TimedOut));
            return self.give_up_lacking(location.map_or(NotExecuted::Fenced, |at| late(at).into()));
        };
        for ((number, entry), read) in wanted.into_iter().enumerate().zip(read) {
            match read {
                Ok(here) => self.scratch.thawed.insert(entry, here),
                Err(error) if number < own => self.give_up_lacking(error.into()),
                // It comes up again when its command runs.
                Err(_) => {}
            }
        }
    }

    /// The command that lacks something does not wait for it any longer, if it has for as long as it may.
    pub(super) fn expire_lacking(&mut self, now_ms: u64) {
        let expires_ms = self.lacking.as_ref().and_then(|lacking| lacking.expires_ms);
        if expires_ms.is_some_and(|expires_ms| expires_ms <= now_ms) {
            self.give_up_lacking(match self.headroom.waits_for() {
                0 => NotExecuted::DeadlineBeforeAccept,
                growth => self.out_of_memory(growth),
            });
        }
    }

    /// Has somebody look after the command that lacks something: no later than after those that were handed over by
    /// then, and again until it has come to its end.
    pub(super) fn watch_lacking(&mut self, myself: &ActorRef<ShardMessage>) {
        if let Some(expires_ms) = self.lacking.as_ref().and_then(|lacking| lacking.expires_ms) {
            self.arm_expiry(myself, expires_ms.min(self.clock.now_ms() + self.sync_deadline_ms));
        }
    }

    /// The command that lacks something is not executed. It has left no trace.
    pub(super) fn give_up_lacking(&mut self, reason: NotExecuted) {
        if let Some(lacking) = self.lacking.take() {
            self.refuse(lacking, reason);
        }
    }

    fn refuse(&mut self, lacking: Lacking<M>, reason: NotExecuted) {
        // Nobody makes room for it any more.
        self.headroom.given_up();
        self.slot.credits.give_back(lacking.charge as usize);
        lacking.port.answer(Err(SubmitError::NotExecuted(reason)));
    }
}

impl<M: StateMachine> Drop for ShardState<M> {
    /// However the actor ends: what it has not applied will not be.
    fn drop(&mut self) {
        self.give_up_lacking(NotExecuted::Fenced);
    }
}
