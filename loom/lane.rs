//! A lane's two buffers: pushes against a consumer that leaves an item, takes it and takes again.
//!
//! In scope: order, also behind a look ahead, and that an item is taken once. Not modelled: wake-ups (`doorbell.rs`)
//! and the end of a lane (`shutdown.rs`).

use mainstay::sync::Arc;
use mainstay::sync::lane::Lane;

use crate::support::{spawn, unbounded};

fn pushes_against_a_look(leave: fn(&Lane<u8>)) {
    unbounded(move || {
        let lane = Arc::new(Lane::new());
        let pushing = spawn({
            let lane = Arc::clone(&lane);
            move || {
                lane.push_quietly(1);
                lane.push_quietly(2);
            }
        });
        let mut seen = None;
        lane.look_ahead(1, |item| seen = Some(*item));
        assert!(seen.is_none_or(|item| item == 1), "another one than the next is shown");
        leave(&lane);
        let mut taken: Vec<_> = lane.pop().into_iter().collect();
        pushing.join();
        taken.extend(std::iter::from_fn(|| lane.pop()));
        assert_eq!(taken, [1, 2], "out of order");
    });
}

/// What is not wanted yet is next, whatever was pushed meanwhile. Guards F37.
#[test]
fn what_is_left_is_next() {
    pushes_against_a_look(|lane| assert!(lane.pop_if(|_| false).is_none()));
}

/// The twin takes it and puts it back where producers push.
#[test]
#[should_panic(expected = "out of order")]
fn twin_put_back_at_the_end() {
    pushes_against_a_look(|lane| lane.pop().into_iter().for_each(|item| lane.push_quietly(item)));
}
