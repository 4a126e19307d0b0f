//! What a WAL writer does next: pure decisions over the core's state.

use super::{Commit, Fresh, Opening, Phase, QUIET_MS, SYNC_BYTES, Step, Stop};
use crate::model::SyncPolicy;

impl Commit {
    pub(super) fn decide(&mut self) -> Option<Phase> {
        if self.phase == Phase::Failed {
            return self.decide_failed();
        }
        let is_due = self.sync_due_ms.is_some_and(|due| due <= self.now_ms || self.kept >= SYNC_BYTES);
        if is_due || self.kept >= self.limits.kept_bytes_max {
            return Some(Phase::Next(Step::Sync));
        }
        // Before anything behind it is written, so that the log's synced end lies there.
        if self.boundaries.front() == Some(&self.written) {
            let synced = self.durable == self.written;
            return Some(if synced { Phase::AtBoundary } else { Phase::Next(Step::Sync) });
        }
        self.sync_wanted.take_if(|end| *end <= self.durable);
        // In front of what was queued since, of which there may always be more.
        if self.sync_wanted.is_some_and(|end| end <= self.written) {
            return Some(Phase::Next(Step::Sync));
        }
        if self.queue.front().is_some_and(|batch| batch.bytes == 0) {
            return Some(Phase::Completing);
        }
        let write = if self.queue.is_empty() { None } else { self.decide_write() };
        if let Some(write) = write {
            return Some(Phase::Next(write));
        }
        // Also while batches wait for a spare, whose sync is then still wanted.
        if self.sync_wanted.is_some() && self.durable < self.written {
            return Some(Phase::Next(Step::Sync));
        }
        if !self.queue.is_empty() {
            return None;
        }
        if self.finishing {
            return Some(self.decide_finish());
        }
        if self.wanted && !self.begun {
            return self.spares.pop_front().map(|fresh| Phase::Next(Step::Begin(fresh)));
        }
        let quiet = self.wants_note() && self.now_ms >= self.written_ms + QUIET_MS;
        quiet.then(|| Phase::Next(self.write(0)))
    }

    /// A fresh file takes the frames; without one, and none to come, the log ends here.
    fn decide_failed(&mut self) -> Option<Phase> {
        if let Some(fresh) = self.spares.pop_front() {
            return Some(Phase::Next(Step::Open(fresh, Opening::Move)));
        }
        let none_to_come = self.no_spare && !self.preparing;
        none_to_come.then_some(Phase::Next(Step::Seal))
    }

    fn decide_write(&mut self) -> Option<Step> {
        debug_assert!(self.begun, "nothing is granted before the life has begun");
        let (mut batches, mut payload) = (0, 0);
        for batch in &self.queue {
            let larger = payload + batch.bytes;
            let fits = self.frame_bytes(larger) <= self.room;
            let beyond = self.boundaries.front().is_some_and(|boundary| batch.end > *boundary);
            if !fits || beyond || (batches > 0 && larger > self.limits.frame_payload_max) {
                break;
            }
            (batches, payload) = (batches + 1, larger);
        }
        if batches > 0 {
            return Some(self.write(batches));
        }
        if self.durable < self.written && !self.spares.is_empty() {
            return Some(Step::Sync);
        }
        self.spares.pop_front().map(|fresh| Step::Open(fresh, Opening::Roll))
    }

    fn decide_finish(&self) -> Phase {
        if !self.begun {
            Phase::Stopping(Stop::Finished)
        } else if self.durable < self.written {
            Phase::Next(Step::Sync)
        } else {
            Phase::Next(Step::Close)
        }
    }

    pub(super) fn write(&self, batches: usize) -> Step {
        let frame = self.queue.iter().take(batches);
        let end = frame.clone().next_back().map_or(self.written, |batch| batch.end);
        let payload = frame.map(|batch| batch.bytes).sum();
        Step::Write { batches, end, bytes: self.frame_bytes(payload) }
    }

    pub(super) fn wants_spare(&self) -> bool {
        let pausing = self.retry.is_some_and(|(at, _)| at > self.now_ms);
        self.could_use_spare() && !pausing
    }

    pub(super) fn could_use_spare(&self) -> bool {
        let ended = matches!(self.phase, Phase::Stopping(_) | Phase::Stopped);
        let of_use = match self.phase {
            Phase::Failed => true,
            _ if self.finishing => !self.queue.is_empty(),
            _ => self.begun || self.wanted,
        };
        self.spares.is_empty() && !self.preparing && of_use && !ended
    }

    /// Is there something durable that no frame speaks of yet, and nothing else to do?
    pub(super) fn wants_note(&self) -> bool {
        self.begun
            && self.phase == Phase::Ready
            && self.policy != SyncPolicy::Never
            && self.queue.is_empty()
            && self.noted < self.durable
            && self.durable == self.written
            && self.frame_bytes(0) <= self.room
    }

    pub(super) fn frame_bytes(&self, payload: u64) -> u64 {
        self.limits.frame_bytes(payload)
    }

    pub(super) fn capacity(&self, fresh: Fresh) -> u64 {
        fresh.bytes.saturating_sub(self.limits.segment_overhead)
    }
}
