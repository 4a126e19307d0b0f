//! A caller: a thread that polls its ticket and sleeps in between, as a task does.

use std::task::{Context, Poll, Wake, Waker};

use loom::sync::{Condvar, Mutex};
use mainstay::sync::claim::{Answer, Ticket};

#[derive(Debug)]
struct Bed {
    awake: Mutex<bool>,
    woken: Condvar,
}

impl Wake for Bed {
    fn wake(self: std::sync::Arc<Self>) {
        *self.awake.lock().unwrap() = true;
        self.woken.notify_one();
    }
}

/// Polls until the answer is there.
pub fn wait<T>(ticket: &mut Ticket<T>) -> Answer<T> {
    let bed = Bed { awake: Mutex::new(false), woken: Condvar::new() };
    let bed = std::sync::Arc::new(bed);
    let waker = Waker::from(std::sync::Arc::clone(&bed));
    loop {
        if let Poll::Ready(answer) = ticket.poll(&mut Context::from_waker(&waker)) {
            return answer;
        }
        let mut awake = bed.awake.lock().unwrap();
        while !*awake {
            awake = bed.woken.wait(awake).unwrap();
        }
        *awake = false;
    }
}
