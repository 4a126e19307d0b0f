//! A view in the making, after `runtime::reading`: first every published root, then again those that are behind.

use super::Mutant;
use super::shard::{Root, Shard};

#[derive(Clone, Debug)]
pub struct Reader {
    /// What was answered when it began.
    wanted: Vec<Root>,
    seen: Vec<Option<Root>>,
    /// The shard that it looks at next; behind the first pass only at those that are behind.
    at: usize,
    newest: Option<u64>,
}

fn newest(seen: &[Option<Root>]) -> u64 {
    seen.iter().flatten().map(|(timeline, _)| *timeline).max().unwrap_or(0)
}

/// Is the one a later state than the other? Within a timeline commands only come to it.
fn is_behind(seen: &Root, wanted: &Root) -> bool {
    (seen.0, seen.1.len()) < (wanted.0, wanted.1.len())
}

impl Reader {
    pub fn new(shards: &[Shard]) -> Self {
        Self { wanted: shards.iter().map(Shard::answered).collect(), seen: Vec::new(), at: 0, newest: None }
    }

    /// Does it look at something that is there, or wait?
    pub fn can_go_on(&self, shards: &[Shard], mutant: Mutant) -> bool {
        let Some(newest) = self.newest else { return true };
        !self.lacks(self.at, newest, mutant) || self.finds(&shards[self.at], newest, mutant)
    }

    fn lacks(&self, at: usize, newest: u64, mutant: Mutant) -> bool {
        let is_old = |root: &Root| root.0 < newest && mutant != Mutant::ViewMixes;
        self.seen[at].as_ref().is_some_and(|root| is_behind(root, &self.wanted[at]) || is_old(root))
    }

    fn finds(&self, shard: &Shard, newest: u64, mutant: Mutant) -> bool {
        !is_behind(&shard.published, &self.wanted[self.at])
            && (shard.published.0 >= newest || mutant == Mutant::ViewMixes)
    }

    /// One look. `late`: it has waited for too long. True: the view is there.
    pub fn look(&mut self, shards: &[Shard], late: bool, mutant: Mutant) -> bool {
        let published = &shards[self.at].published;
        match self.newest {
            None => self.seen.push(Some(published.clone())),
            Some(newest) if self.lacks(self.at, newest, mutant) => {
                self.seen[self.at] = (!late).then(|| published.clone());
            }
            Some(_) => {}
        }
        self.at += 1;
        if self.at < shards.len() {
            return false;
        }
        self.at = 0;
        let newest_now = newest(&self.seen);
        let lacks = (0..shards.len()).any(|at| self.lacks(at, newest_now, mutant));
        let is_done = !lacks && self.newest.is_none_or(|newest| newest >= newest_now);
        self.newest = Some(newest_now);
        if is_done {
            self.check();
        }
        is_done
    }

    fn check(&self) {
        let newest = newest(&self.seen);
        for (seen, wanted) in self.seen.iter().zip(&self.wanted) {
            let Some(root) = seen else { continue };
            assert_eq!(root.0, newest, "a view of two timelines");
            assert!(!is_behind(root, wanted), "a view without what was answered");
        }
    }
}
