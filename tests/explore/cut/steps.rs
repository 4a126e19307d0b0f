//! What may happen next.

use mainstay::model::{Declined, EditOutcome, ShardId};
use mainstay::protocol::cut::{Event, Stage};
use mainstay::protocol::hold::CutId;

use super::world::{Asked, Mutant, World};
use crate::dfs::Model;

/// Where a message comes from. The order is kept within each.
#[derive(Clone, Copy, Debug)]
pub enum Channel {
    Shard(ShardId),
    Writer(ShardId),
    Snapshots(ShardId),
    Supervisors,
    Keeper,
    /// A repeated one.
    Late(usize),
}

/// What the coordinator is fed.
#[derive(Clone, Copy, Debug)]
pub enum Input {
    Request,
    Cancel,
    Deadline(CutId, Stage),
    Message(Channel),
}

#[derive(Clone, Copy, Debug)]
pub enum Step {
    Feed(Input),
    /// As `Feed`, and the message comes once more.
    FeedTwice(Channel),
    /// As `Feed`, and the coordinator dies after so many effects.
    FeedAndCrash(Input, usize),
    Crash,
    BeginAnew,
    Handle(ShardId),
    HandleUnwell(ShardId),
    Timer(ShardId, u64),
    Write(ShardId),
    Sync(ShardId),
    Kill(ShardId),
    Restart(ShardId),
    EndSnapshot(CutId, ShardId, bool),
    EndCommit(EditOutcome),
}

impl World {
    fn channels(&self) -> Vec<Channel> {
        let mut channels = Vec::new();
        for (id, shard) in self.ids().zip(&self.shards) {
            // A mutant has released it before anybody knows: its answer is heard when it is expected.
            let is_early = self.mutant == Mutant::ReleasesOneByOne
                && matches!(shard.answers.front(), Some(Event::Released { .. }))
                && self.asked.as_ref().is_some_and(|asked| !asked.release.contains(&id));
            channels.extend((!shard.answers.is_empty() && !is_early).then_some(Channel::Shard(id)));
            channels.extend((!shard.points.is_empty()).then_some(Channel::Writer(id)));
            channels.extend((!shard.files.is_empty()).then_some(Channel::Snapshots(id)));
        }
        channels.extend((!self.deaths.is_empty()).then_some(Channel::Supervisors));
        channels.extend((!self.outcomes.is_empty()).then_some(Channel::Keeper));
        channels
    }

    fn inputs(&self) -> Vec<Input> {
        let mut inputs: Vec<_> = self.channels().into_iter().map(Input::Message).collect();
        inputs.extend((0..self.late.len()).map(|at| Input::Message(Channel::Late(at))));
        if self.core.is_some() && !self.is_busy() && self.left.requests > 0 {
            inputs.push(Input::Request);
        }
        if self.is_busy() && self.left.aborts > 0 {
            inputs.extend(self.deadline());
            inputs.push(Input::Cancel);
        }
        inputs
    }

    /// The one that is not over.
    fn deadline(&self) -> Option<Input> {
        self.armed.last().map(|(cut, stage)| Input::Deadline(*cut, *stage))
    }

    fn receive(&mut self, channel: Channel) -> Event {
        let message = match channel {
            Channel::Shard(shard) => self.shard(shard).answers.pop_front(),
            Channel::Writer(shard) => self.shard(shard).points.pop_front(),
            Channel::Snapshots(shard) => self.shard(shard).files.pop_front(),
            Channel::Supervisors => self.deaths.pop_front(),
            Channel::Keeper => self.outcomes.pop_front(),
            Channel::Late(at) => Some(self.late.remove(at)),
        };
        message.expect("a message is on its way")
    }

    /// Takes what is fed off its way.
    fn take_input(&mut self, input: Input) -> Event {
        match input {
            Input::Request => {
                self.left.requests -= 1;
                self.asked = Some(Asked::default());
                self.request()
            }
            Input::Cancel => {
                self.left.aborts = self.left.aborts.saturating_sub(1);
                Event::Cancel
            }
            Input::Deadline(cut, stage) => {
                self.left.aborts = self.left.aborts.saturating_sub(1);
                Event::Deadline { cut, stage }
            }
            Input::Message(channel) => self.receive(channel),
        }
    }

    fn effects_of(&self, input: Input) -> usize {
        let mut world = self.clone();
        let event = world.take_input(input);
        let mut effects = Vec::new();
        if let Some(core) = &mut world.core {
            core.on_event(event, &mut effects);
        }
        effects.len()
    }

    fn crashes(&self) -> Vec<Step> {
        if self.left.crashes == 0 || !self.is_busy() {
            return Vec::new();
        }
        let mut steps = vec![Step::Crash];
        for input in self.inputs() {
            steps.extend((1..self.effects_of(input)).map(|count| Step::FeedAndCrash(input, count)));
        }
        steps
    }

    fn is_cutting(&self) -> bool {
        self.asked.as_ref().is_some_and(|asked| !asked.hold.is_empty())
    }

    fn of_shards(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        // Behind the last cut nothing matters any more.
        let is_over = !self.is_busy() && self.left.requests == 0;
        for (id, shard) in self.ids().zip(&self.shards) {
            if shard.has_message() {
                steps.push(Step::Handle(id));
                let may_fail = self.left.failures > 0 && shard.prepares_next();
                steps.extend(may_fail.then_some(Step::HandleUnwell(id)));
            }
            if self.left.lapses > 0 || is_over {
                steps.extend(shard.timers().map(|at_ms| Step::Timer(id, at_ms)));
            }
            // What is written before anybody is asked to hold lies in every cut.
            let may_write = self.left.writes > 0 && self.acknowledged && self.is_cutting();
            steps.extend((may_write && shard.is_up() && !shard.is_holding()).then_some(Step::Write(id)));
            steps.extend((shard.owes_a_sync() && !is_over).then_some(Step::Sync(id)));
            steps.extend((self.left.deaths > 0 && shard.is_up() && self.is_busy()).then_some(Step::Kill(id)));
            steps.extend((!shard.is_up()).then_some(Step::Restart(id)));
        }
        for (cut, shard) in self.snapshots.keys() {
            steps.push(Step::EndSnapshot(*cut, *shard, true));
            let is_cancelled = self.asked.as_ref().is_none_or(|asked| asked.cut != Some(*cut));
            let may_fail = self.left.failures > 0 || is_cancelled;
            steps.extend(may_fail.then_some(Step::EndSnapshot(*cut, *shard, false)));
        }
        steps
    }

    fn of_the_keeper(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        if !self.commits.is_empty() {
            steps.push(Step::EndCommit(EditOutcome::Committed));
            if self.left.failures > 0 {
                let declined = EditOutcome::Declined(Declined::Ended);
                steps.extend([declined, EditOutcome::Failed, EditOutcome::Indeterminate].map(Step::EndCommit));
            }
        }
        steps
    }
}

impl Model for World {
    type Step = Step;

    fn steps(&self) -> Vec<Step> {
        let mut steps: Vec<_> = self.inputs().into_iter().map(Step::Feed).collect();
        if self.left.duplicates > 0 {
            steps.extend(self.channels().into_iter().map(Step::FeedTwice));
        }
        steps.extend(self.crashes());
        steps.extend(self.of_shards());
        steps.extend(self.of_the_keeper());
        if self.core.is_none() && self.left.requests > 0 {
            steps.push(Step::BeginAnew);
        }
        if steps.is_empty() {
            // What has nothing else to wait for waits for a timer.
            let timers = self.ids().zip(&self.shards).flat_map(|(id, shard)| shard.timers().map(move |at| (id, at)));
            steps.extend(timers.map(|(id, at_ms)| Step::Timer(id, at_ms)));
            steps.extend(self.deadline().filter(|_| self.is_busy()).map(Step::Feed));
        }
        steps
    }

    fn is_rare(step: Step) -> bool {
        !matches!(step, Step::Feed(Input::Message(_) | Input::Request) | Step::Handle(_) | Step::Sync(_))
            && !matches!(step, Step::Write(_) | Step::BeginAnew | Step::Restart(_))
            && !matches!(step, Step::EndSnapshot(_, _, true) | Step::EndCommit(EditOutcome::Committed))
    }

    fn take(&mut self, step: Step) {
        let is_early = self.mutant == Mutant::AnswersBeforeTheSync;
        match step {
            Step::Feed(input) => {
                let event = self.take_input(input);
                self.deliver(event, None);
            }
            Step::FeedTwice(channel) => {
                self.left.duplicates -= 1;
                let event = self.receive(channel);
                self.late.push(event.clone());
                self.deliver(event, None);
            }
            Step::FeedAndCrash(input, effects) => {
                self.left.crashes -= 1;
                let event = self.take_input(input);
                self.deliver(event, Some(effects));
            }
            Step::Crash => {
                self.left.crashes -= 1;
                self.crash();
            }
            Step::BeginAnew => self.begin_anew(),
            Step::Handle(shard) => self.shard(shard).handle(true, is_early),
            Step::HandleUnwell(shard) => {
                self.left.failures -= 1;
                self.shard(shard).handle(false, is_early);
            }
            Step::Timer(shard, at_ms) => {
                self.left.lapses = self.left.lapses.saturating_sub(1);
                self.shard(shard).end_timer(at_ms);
            }
            Step::Write(shard) => {
                self.left.writes -= 1;
                self.write(shard);
            }
            Step::Sync(shard) => self.sync(shard),
            Step::Kill(shard) => {
                self.left.deaths -= 1;
                self.kill(shard);
            }
            Step::Restart(shard) => self.shard(shard).begin_anew(),
            Step::EndSnapshot(cut, shard, is_written) => {
                self.left.failures -= u32::from(!is_written).min(self.left.failures);
                self.end_snapshot(cut, shard, is_written);
            }
            Step::EndCommit(outcome) => {
                self.left.failures -= u32::from(outcome != EditOutcome::Committed);
                self.end_commit(outcome);
            }
        }
        let is_busy = self.core.as_ref().is_some_and(|core| core.is_busy());
        assert_eq!(is_busy, self.is_busy(), "done once for each request");
        let cut = self.asked.as_ref().and_then(|asked| asked.cut);
        let is_armed = self.armed.last().is_some_and(|(armed, _)| Some(*armed) == cut);
        assert!(!is_busy || is_armed, "waits, and no deadline will ever come");
    }

    fn at_rest(&self) {
        assert!(!self.is_busy(), "somebody waits for ever");
        assert!(self.shards.iter().all(|shard| !shard.is_holding()), "a lane is held for ever");
        // What a coordinator that has died left behind is for the next open.
        let life = CutId::first_of(self.life);
        let known = self.files.iter().filter(|(_, cut)| **cut >= life && self.core.is_some());
        for (file, _) in known {
            assert!(self.adopted.contains(file) || self.perhaps.contains(file), "left behind");
        }
    }
}
