//! The threads that read cold files for those who must not block: a few, however many wait.
//!
//! Not tokio's threads for blocking work: with many short reads there come to be hundreds of them, and an allocator
//! keeps memory for each. These are started with the first jobs, one for each, and end with the last root that could
//! need them. Jobs begin in the order in which they came.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use flume::{Receiver, Sender};

use crate::sync::Mutex;

/// So many read at a time: enough to keep a disk busy.
const READERS: usize = 16;

/// Something that blocks.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// See the module.
pub(crate) struct ColdReaders {
    jobs: Sender<Job>,
    waiting: Receiver<Job>,
    /// How many threads there are.
    started: Mutex<usize>,
}

impl ColdReaders {
    /// No thread yet.
    pub(crate) fn new() -> Self {
        let (jobs, waiting) = flume::unbounded();
        Self { jobs, waiting, started: Mutex::new(0) }
    }

    /// Has a job done. Does not block. Where no thread is to be had it is dropped undone.
    pub(crate) fn hand(&self, job: Job) {
        // It is received: by a thread, or by nobody as long as this lives.
        let _ = self.jobs.send(job);
        let mut started = self.started.lock();
        if *started == READERS {
            return;
        }
        let waiting = self.waiting.clone();
        // The application's decoding, among others: a job that panics has no effect on those behind it.
        let read = move || waiting.iter().for_each(|job| drop(catch_unwind(AssertUnwindSafe(job))));
        match thread::Builder::new().name("cold-reader".to_owned()).spawn(read) {
            Ok(_) => *started += 1,
            Err(error) => {
                tracing::warn!(%error, "no thread to read cold files");
                if *started == 0 {
                    self.waiting.drain().for_each(drop);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;

    #[test]
    fn there_are_few_however_many_wait() {
        let readers = ColdReaders::new();
        let (began, begun) = flume::unbounded();
        let (open, gate) = flume::bounded::<()>(0);
        for number in 0..200 {
            let (began, gate) = (began.clone(), gate.clone());
            readers.hand(Box::new(move || {
                began.send((number, thread::current().id())).unwrap();
                let _ = gate.recv();
            }));
        }
        let first: Vec<_> = (0..READERS).map(|_| begun.recv().unwrap()).collect();
        assert!(first.iter().all(|(number, _)| *number < READERS), "{first:?}");
        assert!(begun.recv_timeout(Duration::from_millis(50)).is_err(), "one more than there may be");
        drop(open);
        let rest: Vec<_> = (READERS..200).map(|_| begun.recv().unwrap()).collect();
        let threads: BTreeSet<_> = first.iter().chain(&rest).map(|(_, thread)| format!("{thread:?}")).collect();
        assert_eq!(threads.len(), READERS);
    }

    #[test]
    fn what_panics_ends_no_reader_and_what_is_waiting_is_done_in_the_end() {
        let readers = ColdReaders::new();
        let (done, is_done) = flume::unbounded();
        for _ in 0..3 * READERS {
            readers.hand(Box::new(|| std::panic::resume_unwind(Box::new(()))));
        }
        readers.hand(Box::new(move || done.send(()).unwrap()));
        drop(readers);
        assert!(is_done.recv().is_ok());
        assert!(is_done.recv().is_err(), "nobody has it any more");
    }
}
