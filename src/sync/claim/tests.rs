//! Each way through a claim. The races are in `loom/`.

use super::*;
use crate::model::{Epoch, Lsn};

const AT: Position = Position { epoch: Epoch(1), lsn: Lsn(7) };

fn poll<T>(ticket: &mut Ticket<T>) -> Poll<Answer<T>> {
    ticket.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn accepted_and_answered() {
    let (mut ticket, port) = claim();
    assert_eq!(poll(&mut ticket), Poll::Pending);
    assert!(port.accept(AT));
    assert!(!port.accept(AT), "accepted once");
    assert_eq!(ticket.withdraw(), Withdrawal::Accepted(AT));
    port.answer(5);
    assert_eq!(poll(&mut ticket), Poll::Ready(Answer::Given(5)));
    assert_eq!(poll(&mut ticket), Poll::Pending, "one answer");
}

#[test]
fn withdrawn() {
    let (mut ticket, port) = claim();
    assert_eq!(ticket.withdraw(), Withdrawal::Withdrawn);
    assert!(!port.accept(AT));
    port.answer(5);
    assert_eq!(poll(&mut ticket), Poll::Pending);
    assert_eq!(ticket.withdraw(), Withdrawal::Withdrawn);
}

#[test]
fn expired_while_it_waited() {
    let (mut ticket, port) = claim();
    assert_eq!(poll(&mut ticket), Poll::Pending);
    assert!(port.expire(5).is_some());
    assert!(port.expire(6).is_none());
    assert!(!port.accept(AT));
    drop(port);
    assert_eq!(poll(&mut ticket), Poll::Ready(Answer::Given(5)));
    let (mut ticket, port) = claim();
    assert!(port.accept(AT));
    assert!(port.expire(5).is_none());
    assert_eq!(poll(&mut ticket), Poll::Pending, "too late");
    port.answer(7);
    assert_eq!(poll(&mut ticket), Poll::Ready(Answer::Given(7)));
}

#[test]
fn refused_before_it_was_accepted() {
    let (mut ticket, port) = claim();
    port.answer(5);
    assert_eq!(ticket.withdraw(), Withdrawal::Answered(Answer::Given(5)));
}

#[test]
fn a_dropped_port_says_so() {
    let (mut ticket, port) = claim::<()>();
    drop(port);
    assert_eq!(poll(&mut ticket), Poll::Ready(Answer::Abandoned(None)));
    let (mut ticket, port) = claim::<()>();
    assert!(port.accept(AT));
    drop(port);
    assert_eq!(poll(&mut ticket), Poll::Ready(Answer::Abandoned(Some(AT))));
}

#[test]
fn a_dropped_ticket_withdraws() {
    let (ticket, port) = claim::<()>();
    drop(ticket);
    assert!(!port.accept(AT));
}
