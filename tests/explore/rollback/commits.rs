//! The keeper of the manifest, which takes commits in order, and the tasks that wait for their outcomes.

use mainstay::model::{Declined, Edit, EditOutcome};
use mainstay::protocol::rollback::{Event, at_once};

use super::{Runtime, version};

/// A commit on its way, and the task that waits for it.
#[derive(Clone, Debug)]
pub struct Commit {
    pub coordinator: u32,
    pub edit: Edit,
    pub outcome: Option<EditOutcome>,
    pub carried_out: bool,
}

/// What the keeper makes of a commit that is not declined.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    Durable,
    Fails,
    /// Nobody knows; the next open finds it, or not.
    Unknown,
}

impl Runtime {
    pub fn keep(&mut self, fate: Fate) {
        let latched = self.latched;
        let Some(at) = self.commits.iter().position(|commit| commit.outcome.is_none()) else { return };
        let edit = self.commits[at].edit.clone();
        let Edit::RollbackSpilled { version: wanted, timeline, .. } = edit else { unreachable!("nothing else") };
        let is_declined = timeline != self.timeline || !self.versions.contains(&wanted);
        let outcome = match fate {
            _ if latched => EditOutcome::Indeterminate,
            _ if is_declined => EditOutcome::Declined(Declined::Stale),
            Fate::Fails => EditOutcome::Failed,
            Fate::Unknown => {
                (self.latched, self.may_be) = (true, Some(self.timeline + 1));
                self.files.committed(&edit, false);
                EditOutcome::Indeterminate
            }
            Fate::Durable => {
                self.timeline += 1;
                self.files.committed(&edit, true);
                self.versions.retain(|version| *version <= wanted);
                self.lines.iter_mut().for_each(|lines| lines.push(version(wanted)));
                EditOutcome::Committed
            }
        };
        self.commits[at].outcome = Some(outcome);
    }

    /// Behind a commit: first what cannot wait, then the coordinator hears of it, if it is still the same.
    pub fn task(&mut self, report: bool) {
        let Some(at) = self.commits.iter().position(|commit| commit.outcome.is_some()) else { return };
        let outcome = self.commits[at].outcome.expect("it has one");
        if !report {
            self.commits[at].carried_out = true;
            if let Some(effect) = at_once(outcome) {
                self.carry_out(effect);
            }
            return;
        }
        let commit = self.commits.remove(at).expect("it is there");
        if commit.coordinator == self.coordinator {
            self.feed(Event::Committed(outcome));
        }
    }
}
