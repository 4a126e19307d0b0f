//! A caller: a thread that polls its ticket and sleeps in between, as a task does.

use std::task::{Context, Poll, Wake, Waker};

use mainstay::sync::claim::{Answer, Ticket};

use super::Watched;

struct Bed(Watched<bool>);

impl Wake for Bed {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.change(|awake| *awake = true);
    }
}

/// Polls until the answer is there.
pub fn wait<T>(ticket: &mut Ticket<T>) -> Answer<T> {
    let bed = std::sync::Arc::new(Bed(Watched::new(false)));
    let waker = Waker::from(std::sync::Arc::clone(&bed));
    loop {
        if let Poll::Ready(answer) = ticket.poll(&mut Context::from_waker(&waker)) {
            return answer;
        }
        bed.0.wait(|awake| std::mem::take(awake).then_some(()));
    }
}
