//! Threads that sleep, and the watch that notices when nobody is left to wake them.
//!
//! Loom finds a deadlock too, but panics when no thread is active, and then every `Arc` that is dropped panics again
//! and the process aborts; a twin could not be expected to fail. Here the thread that falls asleep or ends last
//! panics, awake. The counts are plain cells: threads of a model share one thread of the system and change places in
//! loom's types only.

use std::cell::Cell;
use std::rc::Rc;

use loom::sync::{Condvar, Mutex};

thread_local! {
    static AWAKE: Cell<u32> = const { Cell::new(0) };
}

/// Begins a model, with its main thread awake.
pub fn begin() {
    AWAKE.set(1);
}

fn wake(threads: u32) {
    AWAKE.set(AWAKE.get() + threads);
}

fn sleep() {
    AWAKE.set(AWAKE.get() - 1);
    assert!(AWAKE.get() > 0, "nobody is left to wake it");
}

#[derive(Debug)]
struct State<T> {
    value: T,
    sleepers: u32,
}

/// A value that threads change, and whose changes others wait for.
#[derive(Debug)]
pub struct Watched<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

impl<T> Watched<T> {
    pub fn new(value: T) -> Self {
        Self { state: Mutex::new(State { value, sleepers: 0 }), changed: Condvar::new() }
    }

    /// Looks, and changes what nobody waits for.
    pub fn with<R>(&self, look: impl FnOnce(&mut T) -> R) -> R {
        look(&mut self.state.lock().unwrap().value)
    }

    /// Changes the value and wakes whoever waits for that.
    pub fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let mut state = self.state.lock().unwrap();
        wake(std::mem::take(&mut state.sleepers));
        self.changed.notify_all();
        change(&mut state.value)
    }

    /// Sleeps until there is what is waited for.
    pub fn wait<R>(&self, mut look: impl FnMut(&mut T) -> Option<R>) -> R {
        let mut state = self.state.lock().unwrap();
        loop {
            if let Some(found) = look(&mut state.value) {
                return found;
            }
            state.sleepers += 1;
            sleep();
            state = self.changed.wait(state).unwrap();
        }
    }
}

/// A thread of a model.
#[derive(Debug)]
pub struct Thread<T> {
    handle: loom::thread::JoinHandle<T>,
    /// Has it ended, and does somebody wait for that?
    end: Rc<(Cell<bool>, Cell<bool>)>,
}

pub fn spawn<T: 'static>(work: impl FnOnce() -> T + 'static) -> Thread<T> {
    let end = Rc::new((Cell::new(false), Cell::new(false)));
    wake(1);
    let handle = loom::thread::spawn({
        let end = Rc::clone(&end);
        move || {
            let result = work();
            end.0.set(true);
            if end.1.get() {
                wake(1);
            }
            sleep();
            result
        }
    });
    Thread { handle, end }
}

impl<T> Thread<T> {
    pub fn join(self) -> T {
        if !self.end.0.get() {
            self.end.1.set(true);
            sleep();
        }
        self.handle.join().unwrap()
    }
}
