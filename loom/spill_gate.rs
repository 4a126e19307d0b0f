//! The gate of a shard at its limit: a command that waits for memory against a spiller that gives up.
//!
//! In scope: the spiller sets the gate and wakes the shard, which looks at the gate behind clearing its bell. Not
//! modelled: memory that is freed, which the shard learns of by a message (`tests/explore/spill`).

use mainstay::sync::Arc;
use mainstay::sync::lane::Lane;
use mainstay::sync::spill_gate::{AtLimit, SpillGate};

use crate::support::{Mailbox, Message, bounded, drains, spawn};

struct Scene {
    gate: SpillGate,
    lane: Lane<()>,
    shard: Arc<Mailbox<Message>>,
}

/// The gate closes while the shard decides to wait.
fn a_command_waits_for_memory(close: fn(&Scene)) {
    bounded(5, move || {
        let shard = Arc::new(Mailbox::new());
        let scene = Arc::new(Scene { gate: SpillGate::default(), lane: Lane::new(), shard });
        scene.lane.attach(drains(&scene.shard));
        let closing = spawn({
            let scene = Arc::clone(&scene);
            move || close(&scene)
        });
        while scene.shard.receive() == Some(Message::Drain) {
            scene.lane.clear();
            if scene.gate.get() == AtLimit::Refuse {
                break;
            }
        }
        closing.join();
    });
}

/// A command that waits is refused when nothing will be freed (bounded). Guards F57.
#[test]
fn who_waits_hears_that_there_is_nothing_to_wait_for() {
    a_command_waits_for_memory(|scene| {
        scene.gate.set(AtLimit::Wait);
        let _ = scene.lane.ring();
        scene.gate.set(AtLimit::Refuse);
        let _ = scene.lane.ring();
    });
}

/// The twin wakes the shard before it has closed the gate.
#[test]
#[should_panic(expected = "nobody is left to wake it")]
fn twin_the_bell_is_rung_too_early() {
    a_command_waits_for_memory(|scene| {
        let _ = scene.lane.ring();
        scene.gate.set(AtLimit::Refuse);
    });
}
