//! Work on pieces that come one after the other, done by several threads, and taken in the order of the pieces.
//!
//! Whoever calls gets the pieces, some ahead, and takes what was made of them; meanwhile it works itself. So one thread
//! is enough, where there are no more to be had, and then nothing is ahead of what is taken.

use std::collections::VecDeque;
use std::thread;

use flume::{Receiver, Sender};

/// So many pieces for each helper are on their way, beside the one that is taken next.
const AHEAD: usize = 2;

/// A piece, and where what is made of it goes.
type Job<I, O> = (I, Sender<O>);

/// Gets pieces with `next`, until that has none, has `work` done on each, and `take` take what came of it. The first
/// error ends it, in the order of the pieces.
pub(super) fn in_order<I: Send, O: Send, X>(
    helpers: usize,
    mut next: impl FnMut() -> Result<Option<I>, X>,
    work: impl Fn(I) -> O + Sync,
    mut take: impl FnMut(O) -> Result<(), X>,
) -> Result<(), X> {
    let work = &work;
    thread::scope(|scope| {
        let (jobs, waiting) = flume::unbounded::<Job<I, O>>();
        for _ in 0..helpers {
            let waiting = waiting.clone();
            let help = move || waiting.iter().for_each(|job| carry_out(job, work));
            let _ = thread::Builder::new().name("recovery-helper".to_owned()).spawn_scoped(scope, help);
        }
        let mut ahead = VecDeque::new();
        let mut is_over = false;
        loop {
            while !is_over && ahead.len() <= AHEAD * helpers {
                let piece = next();
                is_over = !matches!(piece, Ok(Some(_)));
                let Some(piece) = piece.transpose() else { break };
                ahead.push_back(piece.map(|piece| {
                    let (done, made) = flume::bounded(1);
                    let _ = jobs.send((piece, done));
                    made
                }));
            }
            let Some(first) = ahead.pop_front().transpose()? else { return Ok(()) };
            // Nothing comes of a piece whose work has panicked, and then the scope does.
            let Some(made) = wait(&first, &waiting, work) else { return Ok(()) };
            take(made)?;
        }
    })
}

fn carry_out<I, O>((piece, done): Job<I, O>, work: &impl Fn(I) -> O) {
    // Behind an error nobody wants it.
    if !done.is_disconnected() {
        let _ = done.send(work(piece));
    }
}

/// Waits for what is next. Meanwhile what waits is done here: it, or what is behind it while a helper has it.
fn wait<I, O>(first: &Receiver<O>, waiting: &Receiver<Job<I, O>>, work: &impl Fn(I) -> O) -> Option<O> {
    while first.is_empty() && !first.is_disconnected() {
        let Ok(job) = waiting.try_recv() else { break };
        carry_out(job, work);
    }
    first.recv().ok()
}

#[cfg(test)]
mod tests {
    use crate::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Pieces 0..count; `next` fails at one, or `take` does.
    fn run(helpers: usize, count: u32, no_piece: u32, not_taken: u32) -> (Vec<u32>, Result<(), &'static str>) {
        let (mut given, mut taken) = (0, Vec::new());
        let next = || {
            given += 1;
            match given - 1 {
                piece if piece == no_piece => Err("no piece"),
                piece if piece < count => Ok(Some(piece)),
                _ => Ok(None),
            }
        };
        let take = |made: u32| {
            if made == not_taken * 2 {
                return Err("not taken");
            }
            taken.push(made);
            Ok(())
        };
        // Later ones are done first, as far as there is somebody to do them.
        let work = |piece: u32| {
            (0..(7 - piece % 8) * 100).for_each(|_| thread::yield_now());
            piece * 2
        };
        let result = in_order(helpers, next, work, take);
        (taken, result)
    }

    #[test]
    fn what_is_made_is_taken_in_order() {
        for helpers in 0..4 {
            for count in [0, 1, 2, 100] {
                let (taken, result) = run(helpers, count, u32::MAX, u32::MAX / 2);
                assert!(result.is_ok() && taken == (0..count).map(|piece| piece * 2).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn an_error_comes_in_the_place_of_its_piece() {
        for helpers in 0..4 {
            for at in [0, 1, 5, 49] {
                let before: Vec<_> = (0..at).map(|piece| piece * 2).collect();
                assert_eq!(run(helpers, 50, at, u32::MAX / 2), (before.clone(), Err("no piece")));
                assert_eq!(run(helpers, 50, u32::MAX, at), (before.clone(), Err("not taken")));
                // The next pieces may have been asked for already.
                assert_eq!(run(helpers, 50, at + 1, at), (before, Err("not taken")));
            }
        }
    }

    /// What is on its way takes memory that nobody counts.
    #[test]
    fn no_more_is_ahead_than_the_helpers_need() {
        for helpers in 0..4 {
            let (given, taken, most) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
            let next = || {
                let number = given.fetch_add(1, Ordering::SeqCst);
                most.fetch_max(number + 1 - taken.load(Ordering::SeqCst), Ordering::SeqCst);
                Ok::<_, ()>((number < 200).then_some(number))
            };
            let take = |_| {
                taken.fetch_add(1, Ordering::SeqCst);
                Ok(())
            };
            assert_eq!(in_order(helpers, next, |piece| piece, take), Ok(()));
            assert_eq!(most.into_inner(), AHEAD * helpers + 1);
        }
    }

    /// The pieces behind an error were given away already.
    #[test]
    fn what_nobody_wants_is_not_done() {
        let (mut given, done) = (0, AtomicUsize::new(0));
        let next = || {
            given += 1;
            Ok(Some(given))
        };
        let work = |_| _ = done.fetch_add(1, Ordering::SeqCst);
        assert_eq!(in_order(0, next, work, |()| Err(())), Err(()));
        assert_eq!(done.into_inner(), 1);
        let (jobs, waiting) = flume::unbounded::<Job<u32, u32>>();
        let (answer, nobody) = flume::bounded(1);
        jobs.send((1, answer)).unwrap();
        drop(nobody);
        carry_out(waiting.recv().unwrap(), &|_| panic!("nobody wants it"));
    }

    /// Whatever comes back to the caller, it is not a result.
    #[test]
    #[should_panic(expected = "a scoped thread panicked")]
    fn a_panic_of_a_helper_is_the_callers() {
        let (mut pieces, caller, helped) = (0..100, thread::current().id(), AtomicUsize::new(0));
        let work = |_| {
            if thread::current().id() != caller {
                helped.store(1, Ordering::SeqCst);
                panic!("a helper's");
            }
            while helped.load(Ordering::SeqCst) == 0 {
                thread::yield_now();
            }
        };
        let _ = in_order(1, || Ok::<_, ()>(pieces.next()), work, |()| Ok(()));
    }
}
