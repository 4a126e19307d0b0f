//! What may happen to a WAL writer next, and what must be true whatever does.

use mainstay::model::{Declined, EditOutcome, SyncPolicy};

use super::files::LIMITS;
use super::shell::{Doing, ToWriter, Writer};
use crate::dfs::Model;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The shard hands over its next batch.
    Hand,
    /// The shard has no room for it.
    Want,
    /// Somebody waits for a sync.
    WantSync,
    /// A cut lies behind everything that was handed over.
    Cut,
    Finish,
    /// The shell goes once around its loop.
    Turn,
    /// What is being done with a file has ended.
    Done(bool),
    /// The keeper has answered.
    Edit(EditOutcome),
    /// The preparer is done.
    Prepared(bool),
    /// The core's deadline comes.
    Tick,
    Revoke,
}

const BAD: [EditOutcome; 3] = [EditOutcome::Failed, EditOutcome::Indeterminate, EditOutcome::Declined(Declined::Stale)];

impl Writer {
    fn is_editing(&self) -> bool {
        use Doing::{Begin, Close, Move, Seal};
        matches!(self.doing, Some(Begin(_) | Move(_) | Seal | Close))
    }

    /// What the shard may do.
    fn shard_step(&self) -> Option<Step> {
        match self.plan.batches.first() {
            None if self.finishing => None,
            None => Some(Step::Finish),
            Some(payload) if *payload == 0 || self.has_room() => Some(Step::Hand),
            Some(_) => self.wanted_at.is_none().then_some(Step::Want),
        }
    }

    /// What the writer's surroundings do if all goes well.
    fn good_step(&self) -> Option<Step> {
        match self.doing {
            Some(_) if self.is_editing() => Some(Step::Edit(EditOutcome::Committed)),
            Some(_) => Some(Step::Done(true)),
            None => (!self.idle && self.stopped.is_none()).then_some(Step::Turn),
        }
    }

    fn can_tick(&self) -> bool {
        self.stopped.is_none() && self.core.deadline_ms().is_some_and(|due| due > self.now_ms)
    }

    fn apply(&mut self, step: Step) {
        self.idle &= matches!(step, Step::Done(_) | Step::Edit(_) | Step::Turn);
        match step {
            Step::Hand => {
                let payload = self.plan.batches.remove(0);
                self.hand(payload);
            }
            Step::Want => {
                self.wanted_at = Some(self.granted);
                self.lane.push_back(ToWriter::Wanted);
            }
            Step::WantSync => {
                self.plan.sync_wishes -= 1;
                self.synced_to = self.next;
                self.lane.push_back(ToWriter::Sync);
            }
            Step::Cut => {
                self.plan.cuts -= 1;
                self.boundaries.push_back(self.next);
                self.lane.push_back(ToWriter::Boundary);
            }
            Step::Finish => {
                self.finishing = true;
                self.lane.push_back(ToWriter::Finish);
            }
            Step::Turn => self.turn(),
            Step::Done(ok) => {
                self.plan.failures -= u32::from(!ok);
                self.done(ok);
            }
            Step::Edit(outcome) => {
                self.plan.bad_edits -= u32::from(outcome != EditOutcome::Committed);
                self.edit(outcome);
            }
            Step::Prepared(ok) => {
                self.preparing = false;
                if ok {
                    let (segment, bytes) = self.files.register();
                    self.core.on_spare(segment, bytes);
                } else {
                    self.plan.missing_spares -= 1;
                    self.core.on_no_spare();
                }
            }
            Step::Tick => self.now_ms = self.core.deadline_ms().unwrap_or(self.now_ms),
            Step::Revoke => {
                self.plan.revokes -= 1;
                self.revoked = true;
            }
        }
        self.check();
    }

    fn check(&self) {
        assert!(self.core.durable() <= self.files.durable(), "durable, and it is not");
        if !self.idle || self.stopped.is_some() {
            return;
        }
        let deadline_ms = self.core.deadline_ms();
        assert!(deadline_ms.is_none_or(|due| due > self.now_ms), "is late, and does nothing");
        let promised = !self.failed_ever || self.handed <= self.core.granted();
        assert!(self.queue.is_empty() || !promised, "granted, and there is no place");
        let failed = self.files.has_failed();
        let wanted = self.synced_to.min(self.files.written());
        assert!(failed || wanted <= self.files.durable(), "a sync is waited for and possible");
    }

    /// From here on everything goes well: in the end everybody is answered.
    fn must_settle(&self) {
        let mut lucky = self.clone();
        let step = |writer: &Self| {
            let prepared = writer.preparing.then_some(Step::Prepared(true));
            let tick = writer.can_tick().then_some(Step::Tick);
            let shard = writer.shard_step().filter(|_| writer.stopped.is_none());
            let shard = shard.filter(|step| *step != Step::Finish);
            writer.good_step().or(shard).or(prepared).or(tick)
        };
        let mut steps = 0;
        while let Some(next) = step(&lucky) {
            lucky.apply(next);
            steps += 1;
            assert!(steps < 500, "goes on for ever");
        }
        if lucky.stopped.is_some() {
            return;
        }
        assert!(!lucky.finishing, "never finishes");
        assert!(lucky.plan.batches.is_empty(), "the shard waits for room for ever");
        assert!(lucky.queue.is_empty() && lucky.lane.is_empty(), "batches wait for ever");
        assert_eq!(lucky.completed, lucky.next, "callers wait for ever");
        assert!(lucky.boundaries.is_empty(), "a cut waits for ever");
        assert!(lucky.files.durable() >= lucky.synced_to, "what is waited for is never synced");
        if self.plan.policy != SyncPolicy::Never {
            assert_eq!(lucky.files.durable(), lucky.next, "never synced");
        }
    }

    /// No spare comes any more, and the shard uses up what it was granted: everything has a place.
    fn must_have_room(&self, payload: u64) {
        let mut full = self.clone();
        full.plan.batches.clear();
        while full.stopped.is_none() {
            if let Some(step) = full.good_step() {
                full.apply(step);
            } else if full.has_room() && LIMITS.frame_bytes(payload) <= LIMITS.batch_bytes_max {
                full.plan.batches.push(payload);
                full.apply(Step::Hand);
            } else {
                break;
            }
        }
    }
}

impl Model for Writer {
    type Step = Step;

    fn steps(&self) -> Vec<Step> {
        if self.stopped.is_some() {
            return Vec::new();
        }
        let mut steps: Vec<Step> = self.good_step().into_iter().collect();
        if self.plan.failures > 0 && steps.contains(&Step::Done(true)) {
            steps.push(Step::Done(false));
        }
        if self.plan.bad_edits > 0 && self.is_editing() {
            steps.extend(BAD.map(Step::Edit));
        }
        steps.extend(self.shard_step());
        if self.preparing {
            steps.push(Step::Prepared(true));
            steps.extend((self.plan.missing_spares > 0).then_some(Step::Prepared(false)));
        }
        if self.plan.sync_wishes > 0 && !self.finishing {
            steps.push(Step::WantSync);
        }
        if self.plan.cuts > 0 && !self.finishing {
            steps.push(Step::Cut);
        }
        if self.plan.revokes > 0 && !self.revoked {
            steps.push(Step::Revoke);
        }
        if self.can_tick() && (self.idle || self.plan.hurries > 0) {
            steps.push(Step::Tick);
        }
        steps
    }

    fn is_rare(step: Step) -> bool {
        match step {
            Step::Done(ok) | Step::Prepared(ok) => !ok,
            Step::Edit(outcome) => outcome != EditOutcome::Committed,
            Step::Revoke => true,
            _ => false,
        }
    }

    fn take(&mut self, step: Step) {
        if step == Step::Tick && !self.idle {
            self.plan.hurries -= 1;
        }
        self.apply(step);
        if self.idle {
            self.must_settle();
            (1..=2).for_each(|payload| self.must_have_room(payload));
        }
    }

    fn at_rest(&self) {
        assert!(self.stopped.is_some(), "nothing can happen any more, and it has not stopped");
    }
}
