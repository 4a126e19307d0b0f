//! `actor/lane.rs` line by line, over the real doorbell, with a locked queue for flume's.

use std::collections::VecDeque;

use mainstay::sync::doorbell::{Doorbell, Ring};
use mainstay::sync::{Arc, Mutex};

use super::{Mailbox, Message};

/// See the module.
#[derive(Debug)]
pub struct Lane<T> {
    queue: Mutex<VecDeque<T>>,
    pub bell: Doorbell,
    pub wake: Mutex<Option<Arc<Mailbox<Message>>>>,
    front: Mutex<VecDeque<T>>,
}

impl<T> Lane<T> {
    pub fn new() -> Self {
        Self {
            queue: Mutex::new(VecDeque::new()),
            bell: Doorbell::new(),
            wake: Mutex::new(None),
            front: Mutex::new(VecDeque::new()),
        }
    }

    pub fn push_quietly(&self, item: T) {
        self.queue.lock().push_back(item);
    }

    /// `false`: the lane is closed.
    pub fn ring(&self) -> bool {
        match self.bell.ring() {
            Ring::First => self.wake(),
            Ring::Already => {}
            Ring::Closed => return false,
        }
        true
    }

    pub fn attach(&self, mailbox: Arc<Mailbox<Message>>) {
        *self.wake.lock() = Some(mailbox);
        self.bell.clear();
        let _ = self.bell.ring();
        self.wake();
    }

    pub fn wake(&self) {
        if let Some(mailbox) = &*self.wake.lock() {
            let _ = mailbox.send(Message::Drain);
        }
    }

    pub fn clear(&self) {
        self.bell.clear();
    }

    pub fn pop(&self) -> Option<T> {
        if let Some(item) = self.front.lock().pop_front() {
            return Some(item);
        }
        self.queue.lock().pop_front()
    }

    pub fn put_back(&self, item: T) {
        self.front.lock().push_front(item);
    }

    pub fn close(&self) {
        self.bell.close();
        *self.wake.lock() = None;
    }

    pub fn is_closed(&self) -> bool {
        self.bell.is_closed()
    }
}
