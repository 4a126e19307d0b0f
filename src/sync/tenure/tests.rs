//! What each party takes. The races are in `loom/`.

use super::*;

#[test]
fn the_writer_takes_what_is_complete() {
    let tenure = Tenure::new(Lsn(1));
    for end in [2, 3, 5] {
        tenure.park(Lsn(end), 100, end).unwrap();
    }
    let mut published = false;
    assert_eq!(tenure.complete(Lsn(3), || published = true), Some(vec![2, 3]));
    assert!(published);
    assert_eq!((tenure.answered(), tenure.durable()), (Lsn(3), Lsn(1)));
    assert!(tenure.synced(Lsn(3)));
    assert_eq!(tenure.durable(), Lsn(3));
}

#[test]
fn the_timer_takes_what_has_waited() {
    let tenure = Tenure::new(Lsn(1));
    tenure.park(Lsn(2), 100, 'a').unwrap();
    tenure.park(Lsn(3), 120, 'b').unwrap();
    assert_eq!(tenure.expire(99), Expired { ports: vec![], next_ms: Some(100) });
    assert_eq!(tenure.expire(100), Expired { ports: vec!['a'], next_ms: Some(120) });
    assert_eq!(tenure.complete(Lsn(3), || {}), Some(vec!['b']));
    assert_eq!(tenure.expire(500), Expired { ports: vec![], next_ms: None });
}

#[test]
fn after_a_revoke_nothing_happens() {
    let tenure = Tenure::new(Lsn(1));
    tenure.park(Lsn(2), 100, 'a').unwrap();
    assert_eq!(tenure.revoke(), ['a']);
    assert_eq!(tenure.complete(Lsn(2), || unreachable!()), None);
    assert!(!tenure.synced(Lsn(2)));
    assert_eq!(tenure.park(Lsn(3), 100, 'b'), Err('b'));
    assert_eq!((tenure.answered(), tenure.durable()), (Lsn(1), Lsn(1)));
}
