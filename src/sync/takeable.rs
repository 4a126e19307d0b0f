//! A value that one thread takes for good, and that another looks at and changes until then.
//!
//! Whoever looks never waits: where the lock is not free somebody is just taking the value, which is then as good as
//! gone. So there is one thread that looks. Who takes waits for its look to end.
//!
//! Invariant: a look that has found the value is over before it is taken, so all that was done in it comes along.

use super::Mutex;

/// See the module.
#[derive(Debug)]
pub struct Takeable<T>(Mutex<Option<T>>);

impl<T> Takeable<T> {
    /// A value that nobody has taken.
    pub fn new(value: T) -> Self {
        Self(Mutex::new(Some(value)))
    }

    /// Looks at the value, if it was not taken. What belongs together is done in here.
    pub fn look<R>(&self, look: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.0.try_lock()?.as_mut().map(look)
    }

    /// Takes the value, if nobody else has.
    pub fn take(&self) -> Option<T> {
        self.0.lock().take()
    }
}
