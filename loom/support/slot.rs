//! A shard's slot as readers, the shard and its writer share it: the real published root, tenure and lane.

use mainstay::model::Lsn;
use mainstay::sync::Arc;
use mainstay::sync::lane::Lane;
use mainstay::sync::published::{Positioned, Published};
use mainstay::sync::tenure::Tenure;

use super::{Mailbox, Message, Root, Signal, drains, position};

pub type Batch = (Lsn, Option<Arc<Root>>);

/// See the module.
pub struct Slot {
    pub published: Published<Root>,
    pub tenure: Tenure<()>,
    pub lane: Lane<()>,
    /// The shard's mailbox, and the lane to its writer.
    pub shard: Arc<Mailbox<Message>>,
    pub log: Mailbox<Batch>,
    pub changed: Signal,
}

pub fn root(end: u64) -> Arc<Root> {
    Arc::new(Root(position(1, end)))
}

impl Slot {
    pub fn new() -> Arc<Self> {
        let slot = Self {
            published: Published::new(root(1)),
            tenure: Tenure::new(Lsn(1)),
            lane: Lane::new(),
            shard: Arc::new(Mailbox::new()),
            log: Mailbox::new(),
            changed: Signal::new(),
        };
        slot.lane.attach(drains(&slot.shard));
        Arc::new(slot)
    }

    /// The writer: everything is durable at once.
    pub fn write(&self) {
        while let Some((end, root)) = self.log.receive() {
            let publish = || drop(root.map(|root| self.published.publish(root)));
            assert!(self.tenure.complete(end, publish).is_some());
            self.changed.notify_waiters();
        }
    }

    pub fn ask(&self) {
        self.published.ask();
        let _ = self.lane.ring();
    }

    /// `Runtime::view`: `None` if the shard has ended.
    pub fn view(&self) -> Option<Arc<Root>> {
        let wanted = position(1, self.tenure.answered().0);
        loop {
            let enabled = self.changed.enable();
            let root = self.published.latest();
            if root.end() >= wanted {
                return Some(root);
            }
            if self.lane.is_closed() {
                return None;
            }
            self.ask();
            self.changed.wait(&enabled);
        }
    }

    /// As `view`, but asks only once: whoever takes the ask must serve it.
    pub fn view_asking_once(&self) {
        let wanted = position(1, self.tenure.answered().0);
        if self.published.latest().end() >= wanted {
            return;
        }
        self.ask();
        loop {
            let enabled = self.changed.enable();
            if self.published.latest().end() >= wanted {
                return;
            }
            self.changed.wait(&enabled);
        }
    }

    pub fn stop(&self) {
        self.shard.die();
        self.log.die();
    }
}
